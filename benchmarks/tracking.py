"""Sending the numbers of a cell to MLflow, in a new SQLite database."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, at_most, compare, timed
from uad_bench.cells import CellRecord, CellSpec, Environment, FitRecord
from uad_bench.results import ResultsFolder, write_cell
from uad_bench.tracking.connection import connect
from uad_bench.tracking.run import run_metrics, run_times
from uad_bench.tracking.tracker import Tracker, log_numbers

_POINTS = 1000


def cell(seed: int) -> CellRecord:
    """A failed cell of a detector whose training left two curves of many points."""
    spec = CellSpec(
        method="spa",
        seed=seed,
        dataset="mslub",
        protocol="strict",
        postprocessing="none",
    )
    environment = Environment(
        versions={},
        git_commit=None,
        device="cpu",
        started="2026-01-01T00:00:00",
        wall_s=60.0,
        peak_memory_mb=800.0,
    )
    curve = tuple((step, 1.0 / step) for step in range(1, _POINTS // 2 + 1))
    return CellRecord(
        spec=spec,
        state="failed",
        method_title="SPA",
        reason="an example",
        environment=environment,
        fit=FitRecord(detector="0" * 16, curves={"loss": curve, "kl": curve}),
    )


def measure() -> list[Row]:
    """Compare with MLflow's ``log_metric``, number by number, and take the time of a whole cell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tracker, seeds = Tracker(f"sqlite:///{folder / 'mlflow.db'}"), count()

        def send() -> None:
            record = cell(next(seeds))
            write_cell(ResultsFolder(folder), record)
            tracker.send(record, folder, None)

        send()  # the first one makes the database
        record = cell(0)
        points, (_, end) = run_metrics(record), run_times(record)
        with connect(tracker.uri, folder) as client:
            experiment = client.get_experiment_by_name(tracker.experiment).experiment_id

            def new_run() -> str:
                return str(client.create_run(experiment).info.run_id)

            def ours() -> str:
                run = new_run()
                log_numbers(client, run, record, end)
                return run

            def one_by_one() -> str:
                run = new_run()
                for key, value, step in points:
                    client.log_metric(run, key, value, end, step, synchronous=True)
                return run

            def logged(run: str) -> list[tuple[Any, ...]]:
                keys = sorted({key for key, _, _ in points})
                found = [one for key in keys for one in client.get_metric_history(run, key)]
                return [(one.key, one.step, one.value, one.timestamp) for one in found]

            rows = compare(
                f"{len(points):,} numbers",
                ours,
                {"log_metric, one by one": (one_by_one, 25)},
                same=lambda one, other: logged(one) == logged(other),
                repeat=3,
            )
        seconds = timed({"send": send}, 5)["send"]
    return [
        *rows,
        at_most("a whole cell with as many numbers, searched for and sent", seconds, "s"),
    ]
