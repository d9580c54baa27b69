"""The phantom default: what the README's first command spends outside of training and scoring.

    uad-bench run --methods spa,gmvae --datasets all

A shorter run of the same kind is measured: both methods, three patients, one dataset instead of
six, 2 steps of training, no tuning. The rest follows from it: simulation and preparation are
taken to grow with people (30 instead of 15), evaluation, pictures and MLflow with cells (72), and
everything else happens once. Processor time, worker processes included, with compiled loops there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.measure import Row, at_most

_PEOPLE, _CELLS = 30, 72
_HALF_S = 0.5 * 28.9 * 60
"""Half the processor time that the whole command took before; a tenth of it may go elsewhere."""


def measure() -> list[Row]:
    """Run once with one patient, so that loops are compiled; then run, and extrapolate."""
    spent: dict[str, float] = {}
    for patients in ("1", "3"):
        with tempfile.TemporaryDirectory() as name:
            command = [sys.executable, "-m", "benchmarks.phantoms", name, patients]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        spent = json.loads(done.stdout.splitlines()[-1])
    people, cells = spent.pop("people"), spent.pop("cells")
    data = (spent["FindFiles"] + spent["Prepare"]) * _PEOPLE / people
    each = (spent["Evaluate"] - spent["scoring"]) * _CELLS / cells
    once = spent["all"] - sum(spent[part] for part in ("FindFiles", "Prepare", "Evaluate", "Train"))
    outside = data + each + once
    return [
        at_most("simulation and preparation of 30 people", data, "s"),
        at_most("evaluation, pictures and MLflow, 72 cells", each, "s"),
        at_most("all else, once", once, "s"),
        at_most("outside of training and scoring in all", outside, "s", round(0.1 * _HALF_S)),
    ]


def processor_s() -> float:
    """Seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


class CountingExecutor:
    """Runs jobs in this process, and adds up what each kind takes."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def run(self, jobs: Iterable[Any], perform: Any, tell: Any) -> Iterator[tuple[Any, object]]:
        """Run every job; see ``uad_bench.runner.executors.contract.Executor``."""
        from uad_bench.runner.executors.local import LocalExecutor

        def counted(job: Any, done: Any, slot: Any) -> object:
            with self.counting(type(job).__name__):
                return perform(job, done, slot)

        return LocalExecutor().run(jobs, counted, tell)

    @contextmanager
    def counting(self, part: str) -> Iterator[None]:
        """Add what the block takes to a part."""
        start = processor_s()
        yield
        self.spent[part] += processor_s() - start


def run(folder: Path, patients: int) -> dict[str, float]:
    """Do the shorter run, and return what each part took."""
    from uad_bench.plugins.registry import open_registry
    from uad_bench.runner.config import load_config
    from uad_bench.runner.detectors.scoring import anomaly_maps
    from uad_bench.runner.run import run as run_jobs

    executor = CountingExecutor()

    @contextmanager
    def counted(*given: Any) -> Iterator[Any]:
        with executor.counting("scoring"):
            stack = ExitStack()
            found = stack.enter_context(anomaly_maps(*given))
        with stack:
            yield found

    words = {
        "methods": "spa,gmvae",
        "phantoms": patients,
        "datasets": "mslub",
        "tune": False,
        "param": {"spa.steps": 2, "gmvae.steps": 2},
        "cache": folder / "cache",
        "results": folder / "results",
    }
    with patch("uad_bench.runner.jobs.evaluate.anomaly_maps", counted):
        done = run_jobs(load_config(None, words), open_registry(None), executor=executor)
    assert not done.failed, [record.reason for record in done.failed]
    return executor.spent | {
        "all": processor_s(),
        "cells": len(done.records),
        "people": 5 * patients,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]))))
