"""Memory of evaluating many scans, one after the other, as a run does."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import ndimage

from benchmarks.measure import Row, at_most, peak_growth
from uad_bench.evaluation.protocol import Protocol, validation_histogram
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.histogram_files import save_histograms
from uad_bench.runner.jobs.spool import Spool

FEW, MANY = 285, 2000
DISTINCT = 20
"""Scans that differ; all others are one of these under another name."""
SHAPE = (32, 80, 80)
SPACING = (5.0, 2.4, 2.4)


@cache
def simulated_scan(number: int) -> ScoredScan:
    """Return a scan with smooth lesions in a round brain, whose scores take many levels."""
    places = np.moveaxis(np.indices(SHAPE, dtype=np.float32), 0, -1) / np.array(SHAPE) - 0.5
    brain = (places**2).sum(axis=-1) < 0.16
    rng = np.random.default_rng(number)
    field = ndimage.gaussian_filter(rng.standard_normal(SHAPE, np.float32), 2)
    lesion = brain & (field > np.quantile(field[brain], 0.98))
    noise = rng.standard_normal(SHAPE, np.float32)
    anomaly = np.clip(0.15 + 0.05 * noise + 0.1 * lesion, 0, 1) * brain
    return ScoredScan(
        subject=f"s{number}",
        session=None,
        scores=quantise(anomaly),
        lesion=lesion.astype(np.uint8),
        brain=brain,
        spacing=SPACING,
        z=np.arange(len(brain)),
    )


def simulated_scans(count: int) -> Iterator[ScoredScan]:
    """Yield the scans of so many people."""
    for number in range(count):
        yield replace(simulated_scan(number % DISTINCT), subject=f"s{number}")


def evaluated(protocol: Protocol, count: int) -> None:
    """Evaluate so many scans, and write their histograms."""
    gc.collect()
    validation = validation_histogram(simulated_scans(1))
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool")
        found = protocol.evaluate(lambda: simulated_scans(count), validation, spool.keep)
        save_histograms(Path(folder) / "histograms.npz", found.histograms)


def measure() -> list[Row]:
    """Compare the peak of few scans with that of many."""
    rows = []
    for protocol in (STRICT, PAPER):
        evaluated(protocol, DISTINCT)
        few, many = (peak_growth(partial(evaluated, protocol, count)) for count in (FEW, MANY))
        grown = (many - few) / (MANY - FEW)
        work = f"protocol {protocol.name}"
        rows += [
            at_most(f"{work}: peak of {MANY} scans", many, "MB"),
            at_most(f"{work}: each scan after the first {FEW}", grown, "MB", 0.02),
        ]
    return rows
