"""Connected components of a mask, 182 x 218 x 182, corners included."""

from __future__ import annotations

from functools import partial

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.measure import Row, compare
from uad_bench.evaluation.lesions import numbered_components

Mask = NDArray[np.bool_]

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


def by_scipy(mask: Mask) -> NDArray[np.integer]:
    """Label with scipy."""
    return np.asarray(ndimage.label(mask, np.ones((3, 3, 3)))[0])


def measure() -> list[Row]:
    """Compare with scipy and with connected-components-3d, label by label."""
    rows: list[Row] = []
    for title, mask in masks().items():
        rows += compare(
            title,
            partial(numbered_components, mask),
            {
                "scipy.ndimage.label": (partial(by_scipy, mask), None),
                "cc3d": (partial(cc3d.connected_components, mask, connectivity=26), 1),
            },
            same=lambda ours, theirs: np.array_equal(ours[0], theirs),
        )
    return rows
