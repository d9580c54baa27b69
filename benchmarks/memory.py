"""Memory of evaluating many scans, one after the other."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import ndimage

from benchmarks.measure import Row, at_most, peak_growth
from uad_bench.evaluation.protocol import Protocol, validation_histogram
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import quantise

FEW, MANY = 35, 285
SHAPE = (32, 80, 80)
SPACING = (5.0, 2.4, 2.4)


def simulated_scans(count: int) -> Iterator[ScoredScan]:
    """Yield scans with smooth lesions in a round brain, whose scores take many levels."""
    places = np.moveaxis(np.indices(SHAPE, dtype=np.float32), 0, -1) / np.array(SHAPE) - 0.5
    brain = (places**2).sum(axis=-1) < 0.16
    for number in range(count):
        rng = np.random.default_rng(number)
        field = ndimage.gaussian_filter(rng.standard_normal(SHAPE, np.float32), 2)
        lesion = brain & (field > np.quantile(field[brain], 0.98))
        noise = rng.standard_normal(SHAPE, np.float32)
        anomaly = np.clip(0.15 + 0.05 * noise + 0.1 * lesion, 0, 1) * brain
        yield ScoredScan(
            subject=f"s{number}",
            session=None,
            scores=quantise(anomaly),
            lesion=lesion.astype(np.uint8),
            brain=brain,
            spacing=SPACING,
            z=np.arange(len(brain)),
        )


def evaluated(protocol: Protocol, count: int) -> None:
    """Evaluate so many scans."""
    gc.collect()
    protocol.evaluate(lambda: simulated_scans(count), validation_histogram(simulated_scans(1)))


def measure() -> list[Row]:
    """Compare the peak of few scans with that of many."""
    rows = []
    for protocol in (STRICT, PAPER):
        evaluated(protocol, 1)
        few, many = (peak_growth(partial(evaluated, protocol, count)) for count in (FEW, MANY))
        grown = (many - few) / (MANY - FEW)
        rows += [
            at_most(f"protocol {protocol.name}: peak of {MANY} scans", many, "MB"),
            at_most(f"protocol {protocol.name}: each scan after the first {FEW}", grown, "MB", 0.3),
        ]
    return rows
