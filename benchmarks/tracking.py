"""Sending the numbers of a detector to MLflow, in a new SQLite database."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, at_most, compare, timed
from uad_bench.tracking.connection import connect, sqlite_uri
from uad_bench.tracking.entry import Entry
from uad_bench.tracking.tracker import Tracker, log_numbers

_POINTS = 1000


def detector(number: int) -> Entry:
    """A detector whose training left two curves of many points."""
    steps = range(1, _POINTS // 2 + 1)
    return Entry(
        kind="detector",
        key=f"spa-s{number}",
        name=f"detector spa s{number}",
        start=0,
        end=1,
        parent=Entry(kind="command", key="a run", name="a run", start=0, end=1),
        params={"method": "spa", "seed": str(number)},
        metrics=tuple(
            (f"training/{name}", 1.0 / step, step) for name in ("loss", "kl") for step in steps
        ),
    )


def measure() -> list[Row]:
    """Compare with MLflow's ``log_metric``, number by number, and take the time of a whole run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tracker, seeds = Tracker(sqlite_uri(folder / "mlflow.db")), count()

        def send() -> None:
            tracker.send(detector(next(seeds)), folder)

        send()  # the first one makes the database
        entry = detector(0)
        with connect(tracker.uri, folder) as client:
            experiment = client.get_experiment_by_name(tracker.experiment).experiment_id

            def new_run() -> str:
                return str(client.create_run(experiment).info.run_id)

            def ours() -> str:
                run = new_run()
                log_numbers(client, run, entry, {})
                return run

            def one_by_one() -> str:
                run = new_run()
                for key, value, step in entry.metrics:
                    client.log_metric(run, key, value, entry.end, step, synchronous=True)
                return run

            def logged(run: str) -> list[tuple[Any, ...]]:
                keys = sorted({key for key, _, _ in entry.metrics})
                found = [one for key in keys for one in client.get_metric_history(run, key)]
                return [(one.key, one.step, one.value, one.timestamp) for one in found]

            rows = compare(
                f"{len(entry.metrics):,} numbers",
                ours,
                {"log_metric, one by one": (one_by_one, 25)},
                same=lambda one, other: logged(one) == logged(other),
                repeat=3,
            )
        seconds = timed({"send": send}, 5)["send"]
    return [
        *rows,
        at_most("a whole detector with as many numbers, searched for and sent", seconds, "s"),
    ]
