"""Connected components, and lesions matched with findings, 182 x 218 x 182, corners included."""

from __future__ import annotations

from functools import partial

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from benchmarks.measure import Row, compare
from uad_bench.evaluation.masks.components import Components
from uad_bench.evaluation.masks.lesions import OVERLAP, match_lesions

Mask = NDArray[np.bool_]
Labels = NDArray[np.integer]
Counts = NDArray[np.integer]

SHAPE = (182, 218, 182)


def masks() -> dict[str, Mask]:
    """Masks of a brain at 1 mm: predictions like noise and like blobs, one lesion, all of it."""
    rng = np.random.default_rng(0)
    places = np.moveaxis(np.indices(SHAPE, dtype=np.float32), 0, -1) - np.array(SHAPE) / 2
    brain = ((places / np.array(SHAPE) / 0.4) ** 2).sum(axis=-1) < 1
    smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE).astype(np.float32), 2)
    smooth[~brain] = -np.inf
    noise = rng.random(SHAPE)
    return {
        "blobs, 1 % of the brain": smooth > np.quantile(smooth[brain], 0.99),
        "blobs, 5 %": smooth > np.quantile(smooth[brain], 0.95),
        "noise, 1 %": brain & (noise < 0.01),
        "noise, 5 %": brain & (noise < 0.05),
        "noise, 30 %": brain & (noise < 0.3),
        "one lesion of 2 ml": (places**2).sum(axis=-1) < 64,
        "the whole brain": brain,
    }


def by_scipy(mask: Mask) -> tuple[Labels, Counts]:
    """Label with scipy, and count voxels."""
    labels = ndimage.label(mask, np.ones((3, 3, 3)))[0]
    return labels, np.bincount(labels.ravel())[1:]


def by_cc3d(mask: Mask) -> tuple[Labels, Counts]:
    """Label with connected-components-3d, and count voxels."""
    labels = cc3d.connected_components(mask, connectivity=26)
    return labels, np.bincount(labels.ravel())[1:]


def matched_by_cc3d(prediction: Mask, lesion: Mask) -> NDArray[np.float64]:
    """Return the IoU of each lesion with its finding: the best pairing of components by cc3d."""
    (lesions, sizes), (findings, found) = by_cc3d(lesion), by_cc3d(prediction)
    both = np.flatnonzero(prediction & lesion)
    keys = (lesions.ravel()[both].astype(np.int64) - 1) * len(found) + findings.ravel()[both] - 1
    keys, shared = np.unique(keys, return_counts=True)
    row, column = np.divmod(keys, max(len(found), 1))
    iou = shared / (sizes[row] + found[column] - shared)
    table = np.zeros((len(sizes), len(found)))
    table[row, column] = np.where(iou >= OVERLAP, iou, 0)
    overlaps = np.zeros(len(sizes))
    chosen = linear_sum_assignment(table, maximize=True)
    overlaps[chosen[0]] = table[chosen]
    return overlaps


def same(found: Components, theirs: tuple[Labels, Counts]) -> bool:
    """Whether the runs are those of the labels, number by number."""
    labels, sizes = theirs
    flat = labels.ravel()
    numbers = np.repeat(found.numbers + 1, found.runs[:, 1] - found.runs[:, 0])
    return np.array_equal(flat[flat > 0], numbers) and np.array_equal(found.sizes, sizes)


def measure() -> list[Row]:
    """Compare with scipy and with connected-components-3d, number by number."""
    rows: list[Row] = []
    for title, mask in masks().items():
        rows += compare(
            f"{title}: components and their sizes",
            partial(Components.of, mask),
            {
                "scipy.ndimage.label": (partial(by_scipy, mask), None),
                "cc3d": (partial(by_cc3d, mask), 1),
            },
            same=same,
        )
        rows += compare(
            f"{title}: the same, beside labels without sizes",
            partial(Components.of, mask),
            {"cc3d": (partial(cc3d.connected_components, mask, connectivity=26), None)},
        )
    blobs = masks()["blobs, 1 % of the brain"]
    moved = np.roll(blobs, 1, axis=2)
    for title, prediction in {
        "blobs moved by a voxel": moved,
        "blobs with noise of 0.1 %": moved | (np.random.default_rng(1).random(SHAPE) < 0.001),
    }.items():
        rows += compare(
            f"{title}: lesions matched",
            partial(match_lesions, prediction, blobs, (1.0, 1.0, 1.0)),
            {"cc3d, numpy and scipy": (partial(matched_by_cc3d, prediction, blobs), 1)},
            same=lambda ours, theirs: np.allclose(ours.overlaps, theirs, rtol=1e-12),
        )
    return rows
