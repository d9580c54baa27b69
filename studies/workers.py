"""Whole runs on one and on two processes: the same numbers, and how much sooner.

    OMP_NUM_THREADS=1 python -m studies.workers [--steps 60] [--phantoms 2] [--work workers]

Three methods, the six simulated datasets and three seeds, with ``--jobs 1`` and with ``--jobs 2``.
The data are prepared before. Every cell is compared but for where and how long it was computed.
Exits with 1 where a number differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import uad_bench as ub
from uad_bench.cells import CellRecord

_METHODS = ("ae", "vae", "gmvae")
_DATASETS = ("mslub", "msisbi", "msi", "wmh", "gbi", "brats")
_SEEDS = (0, 1, 2)
_JOBS = (1, 2)


def main() -> None:
    """Do the runs, and print what they took."""
    parser = argparse.ArgumentParser(prog="python -m studies.workers", description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="of each training; default: 60")
    parser.add_argument("--phantoms", type=int, default=2, help="default: 2")
    parser.add_argument("--work", type=Path, default=Path("workers"), help="default: workers")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1: the number of threads decides a network's last digits")
    given: dict[str, Any] = {
        "phantoms": options.phantoms,
        "cache": options.work / "cache",
        "tune": False,
        "mlflow": False,
        "controls": (),
        "progress": False,
    }
    ub.run("thresholding", _DATASETS, results=options.work / "data", **given)
    param = {f"{name}.steps": str(options.steps) for name in _METHODS}
    walls, cells = [], []
    for jobs in _JOBS:
        results = options.work / f"jobs-{jobs}"
        shutil.rmtree(results, ignore_errors=True)
        start = time.perf_counter()
        done = ub.run(
            _METHODS, _DATASETS, results=results, seeds=_SEEDS, param=param, jobs=jobs, **given
        )
        walls.append(time.perf_counter() - start)
        cells.append({cell.spec.name: numbers(cell) for cell in done.cells})
        print(f"{jobs} at a time: {len(done.cells)} cells in {walls[-1]:.0f} s", flush=True)
    same = sum(cells[1].get(name) == found for name, found in cells[0].items())
    print(f"{same} of {len(cells[0])} cells are the same to the last digit")
    print(f"{walls[0] / walls[1]:.2f} times as fast, {walls[0] / walls[1] / 2:.0%} of the ideal")
    if same < len(cells[0]) or len(cells[1]) != len(cells[0]):
        sys.exit(1)


def numbers(cell: CellRecord) -> dict[str, Any]:
    """Return what a cell says, without where and how long it was computed."""
    return cell.model_dump(mode="json", exclude={"environment": True, "fit": {"wall_s"}})


if __name__ == "__main__":
    main()
