"""Time and memory against the number of voxels and of patients."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from math import log10
from typing import Any

import numpy as np

from benchmarks._voxels import simulated_voxels
from benchmarks.measure import Row, exponent, peak_growth, shown_seconds
from uad_bench.evaluation.scores.histograms import ScoreHistogram, quantise
from uad_bench.evaluation.statistics.intervals import pooled_intervals

MOST_VOXELS = 10 ** int(os.environ.get("SCALING_POWER", "8"))
"""``SCALING_POWER=9`` takes 3 GB more."""

PATIENTS = (10, 100, 1000, 10_000)


def scaled(work: str, works: Mapping[int, Callable[[], Any]]) -> list[Row]:
    """Return the rows of a work at several sizes: time, memory, and both exponents.

    Args:
        work: what is done.
        works: by size, does it.
    """
    sizes = list(works)
    works[sizes[0]]()
    memory, seconds = [], []
    for size in sizes:
        memory.append(max(peak_growth(works[size]), 1.0))
        start = time.perf_counter()
        works[size]()
        seconds.append(time.perf_counter() - start)
    return [
        *(
            Row(work=f"{work}: 1e{log10(size):.0f}", ours=shown_seconds(took), got=f"{peak:.3g} MB")
            for size, took, peak in zip(sizes, seconds, memory, strict=True)
        ),
        _row(f"{work}: exponent of time", exponent(sizes, seconds), 1.1),
        _row(f"{work}: exponent of memory", exponent(sizes, memory), 0.5),
    ]


def _row(work: str, slope: float, goal: float) -> Row:
    return Row(
        work=work,
        ours=f"{slope:.2f}",
        got=f"{slope:.2f}",
        goal=f"at most {goal:g}",
        reached=slope <= goal,
    )


def simulated_patients(count: int) -> list[ScoreHistogram]:
    """Histograms of 3000 voxels on every 8th level; ten patients' lesions have most of them."""
    rng = np.random.default_rng(0)
    lesion = (np.arange(3000) < 1000).astype(np.uint8)
    values = (np.minimum(rng.beta(2, 10, 3000) + 0.1 * lesion, 1) for _ in range(count))
    return [ScoreHistogram.of(quantise(one) & np.uint16(65528), lesion) for one in values]


def measure() -> list[Row]:
    """Count voxels, and pool patients without each."""
    scores, lesion = simulated_voxels(MOST_VOXELS)
    sizes = [10**power for power in range(6, round(log10(MOST_VOXELS)) + 1)]
    voxels = {size: partial(ScoreHistogram.of, scores[:size], lesion[:size]) for size in sizes}
    rows = scaled("histogram of voxels", voxels)
    crowd = simulated_patients(PATIENTS[-1])
    patients = {size: partial(pooled_intervals, crowd[:size]) for size in PATIENTS}
    return [*rows, *scaled("intervals of pooled patients", patients)]
