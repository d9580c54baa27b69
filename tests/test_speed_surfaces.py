"""Protects: distances and components stay faster than MONAI's and scipy's, by wide margins.

Both take turns in one process, so that a busy machine slows both; the best of several turns counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage

from uad_bench.evaluation.components import Components
from uad_bench.evaluation.hausdorff import surface_distance
from uad_bench.kernels import can_compile

pytestmark = pytest.mark.skipif(not can_compile(), reason="nothing is compiled here")

SHAPE = (90, 110, 90)
SPACING = (1.0, 1.2, 0.9)


def best_ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """How many times as long the other one takes."""
    best = [np.inf, np.inf]
    for turn in range(6):
        for index, work in enumerate((ours, theirs)):
            start = time.perf_counter()
            work()
            if turn:
                best[index] = min(best[index], time.perf_counter() - start)
    return best[1] / best[0]


def assert_faster(ours: Callable[[], object], theirs: Callable[[], object], times: float) -> None:
    """Ask twice, for the machine may be busy with something else."""
    ratios = [best_ratio(ours, theirs)]
    if ratios[0] < times:
        ratios.append(best_ratio(ours, theirs))
    assert max(ratios) >= times, ratios


def ball(centre, radius):
    steps = np.ix_(*(np.arange(side) - at for side, at in zip(SHAPE, centre, strict=True)))
    return sum(step**2 for step in steps) <= radius**2


@pytest.mark.parametrize(
    "prediction",
    [
        ball((48, 60, 42), 7),
        ball((45, 55, 45), 30),
        np.random.default_rng(0).random(SHAPE) < 0.1,
    ],
    ids=["small", "large", "noise"],
)
def test_hd_and_hd95_take_less_than_a_fifth_of_monais_time(prediction):
    lesion = ball((45, 60, 40), 11)
    masks = [torch.from_numpy(mask)[None, None] for mask in (prediction, lesion)]

    def monai():
        return [
            compute_hausdorff_distance(
                *masks, include_background=True, percentile=percentile, spacing=list(SPACING)
            )
            for percentile in (None, 95)
        ]

    assert_faster(lambda: surface_distance(prediction, lesion, SPACING, penalty=0.0), monai, 5)


@pytest.mark.parametrize("sigma", [0, 2])
def test_components_take_less_than_half_of_scipys_time(sigma):
    field = ndimage.gaussian_filter(np.random.default_rng(0).random(SHAPE), sigma)
    mask = field > np.quantile(field, 0.98)
    assert_faster(lambda: Components.of(mask), lambda: ndimage.label(mask, np.ones((3, 3, 3))), 2)
