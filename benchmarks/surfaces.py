"""Hausdorff distance, HD95 and surface Dice, 182 x 218 x 182 voxels of 1 x 1.2 x 0.9 mm."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import compute_robust_hausdorff, compute_surface_distances

from benchmarks.measure import Row, at_most, compare, exponent, timed
from uad_bench.evaluation.masks.hausdorff import slice_distances, surface_distance

Mask = NDArray[np.bool_]

SHAPE = (182, 218, 182)
SPACING = (1.0, 1.2, 0.9)
SIDES = (64, 96, 128, 192, 256)


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> Mask:
    """Return a ball; centre and radius are in voxels."""
    steps = (np.arange(side) - at for side, at in zip(shape, centre, strict=True))
    return np.asarray(sum(step**2 for step in np.ix_(*steps)) <= radius**2)


def pairs() -> dict[str, tuple[Mask, Mask]]:
    """Predictions and lesions: one lesion with three predictions, and lesions all over a brain."""
    rng = np.random.default_rng(0)
    lesion = ball(SHAPE, (90, 120, 80), 20.66)
    steps = np.ix_(*(np.linspace(-1.25, 1.25, side) for side in SHAPE))
    brain = sum(step**2 for step in steps) < 1
    fields = [
        np.where(brain, ndimage.gaussian_filter(rng.standard_normal(SHAPE, np.float32), 3), -1)
        for _ in range(2)
    ]
    many = fields[0] > np.quantile(fields[0][brain], 0.98)
    mixed = fields[0] + fields[1]
    return {
        "small prediction": (ball(SHAPE, (95, 125, 85), 12.9), lesion),
        "large prediction": (ball(SHAPE, (92, 110, 90), 59.6), lesion),
        "noise": (brain & (rng.random(SHAPE) < 0.284), lesion),
        "many lesions, small prediction": (mixed > np.quantile(mixed[brain], 0.995), many),
        "many lesions, large prediction": (mixed > np.quantile(mixed[brain], 0.54), many),
    }


def ours(prediction: Mask, lesion: Mask) -> tuple[float, float, float]:
    """Measure all three."""
    found = surface_distance(prediction, lesion, SPACING, penalty=0.0)
    assert found is not None
    return found.hd, found.hd95, found.dice


def by_monai(prediction: Mask, lesion: Mask) -> tuple[float, float]:
    """Measure HD and HD95 with one call each."""
    masks = [torch.from_numpy(mask)[None, None] for mask in (prediction, lesion)]
    hd, hd95 = (
        compute_hausdorff_distance(
            *masks, include_background=True, percentile=percentile, spacing=list(SPACING)
        )
        for percentile in (None, 95)
    )
    return float(hd), float(hd95)


def by_surface_distance(prediction: Mask, lesion: Mask) -> tuple[float, float]:
    """Measure HD and HD95 between surface elements, which lie between voxels."""
    found = compute_surface_distances(prediction, lesion, SPACING)
    hd, hd95 = (compute_robust_hausdorff(found, percentile) for percentile in (100, 95))
    return float(hd), float(hd95)


def slices_by_monai(prediction: Mask, lesion: Mask) -> NDArray[np.float64]:
    """Measure each slice, given as a channel."""
    masks = (torch.from_numpy(mask)[None] for mask in (prediction, lesion))
    found: NDArray[np.float64] = compute_hausdorff_distance(*masks, include_background=True)
    return np.asarray(found[0])


def measure() -> list[Row]:
    """Compare with MONAI, which agrees, and with surface-distance, up to a voxel in HD.

    A ratio is asked for where there is one lesion.
    """
    warnings.simplefilter("ignore")  # MONAI's, about empty slices
    rows: list[Row] = []
    for title, pair in pairs().items():
        asked = not title.startswith("many lesions")
        mine, monai, theirs = ours(*pair), by_monai(*pair), by_surface_distance(*pair)
        assert np.allclose(mine[:2], monai, rtol=1e-4), f"{title}: MONAI says {monai}, not {mine}"
        assert abs(mine[0] - theirs[0]) < np.linalg.norm(SPACING), f"{title}: {theirs}, not {mine}"
        rows += compare(
            title,
            partial(ours, *pair),
            {
                "MONAI, two calls": (partial(by_monai, *pair), 15 if asked else None),
                "surface-distance (surfaces between voxels)": (
                    partial(by_surface_distance, *pair),
                    5 if asked else None,
                ),
            },
            repeat=3,
        )
    rows += slices()
    return [*rows, scaling()]


def slices() -> list[Row]:
    """Compare the distance of each slice with MONAI."""
    pair = pairs()["many lesions, small prediction"]
    both = pair[0].any(axis=(1, 2)) & pair[1].any(axis=(1, 2))
    mine, theirs = slice_distances(*pair), slices_by_monai(*pair)
    assert np.allclose(mine[both], theirs[both], rtol=1e-4)
    return compare(
        "many lesions, each slice",
        partial(slice_distances, *pair),
        {"MONAI, slices as channels": (partial(slices_by_monai, *pair), None)},
        repeat=3,
    )


def scaling() -> Row:
    """Grow the masks with the volume."""
    works = {}
    for side in SIDES:
        lesion = ball((side,) * 3, (side * 0.5,) * 3, side * 0.1)
        prediction = ball((side,) * 3, (side * 0.55,) * 3, side * 0.3)
        works[str(side)] = partial(ours, prediction, lesion)
    seconds = timed(works, repeat=3)
    power = exponent([side**3 for side in SIDES], list(seconds.values()))
    return at_most("side 64 to 256: exponent of the time over voxels", power, "", 1.33)
