"""Cells of a results folder that MLflow is told of, and what it has of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_cells import made_use

from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment, FitRecord
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import Metric
from uad_bench.results import ResultsFolder, load_cells, write_cell
from uad_bench.tracking import Tracker, entries
from uad_bench.tracking import sync as sync_folder
from uad_bench.tracking.entry import Entry
from uad_bench.tracking.sync import SyncResult

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d4944415478da63fcffff3f0300050001ff5c2a0e6b0000000049454e44ae426082"
)


def use(dataset: str, *, simulated: bool) -> DatasetUse:
    return made_use(dataset, 5, simulated=simulated, manifest_hash="0123abcd", scans=6, slices=300)


def cell(seed: int = 0, auprc: float = 0.4, **changes: Any) -> CellRecord:
    """A finished cell, trained on phantoms and evaluated on real patients."""
    facts: dict[str, Any] = {
        "spec": CellSpec(
            method="spa",
            params={"beta": 1e-3, "widths": [16, 32], "prior": {"snr": 16.0}},
            seed=seed,
            dataset="mslub",
            protocol="strict",
            postprocessing="none",
        ),
        "protocol_version": STRICT.version,
        "state": "done",
        "method_title": "SPA",
        "training": use("hi", simulated=True),
        "data": use("mslub", simulated=False),
        "fit": FitRecord(
            detector="spa-1",
            steps=200,
            validation={"l1": 0.1},
            tuned={"beta": 1e-3},
            studies=("spa-12345678",),
            trials=4,
            curves={"l1": ((1, 0.9), (2, 0.5), (3, 0.25))},
        ),
        "thresholds": {"fpr1": 0.25},
        "metrics": {
            "auprc": Metric(value=auprc, low=0.25, high=0.5),
            "hd": Metric(value=None, unit="mm", better="lower"),
        },
        "environment": Environment(
            versions={"torch": "2.13.0"},
            git_commit="c0ffee",
            device="cpu",
            started="2026-11-22T10:00:00+00:00",
            wall_s=12.5,
            peak_memory_mb=800.0,
        ),
    }
    return CellRecord(**(facts | changes))


def failed_cell(seed: int = 0) -> CellRecord:
    return cell(seed, state="failed", reason="the loss is NaN at step 7", fit=None, metrics={})


def put(results: Path, *records: CellRecord) -> None:
    for record in records:
        write_cell(ResultsFolder(results), record)


def picture(results: Path, record: CellRecord) -> Path:
    path = ResultsFolder(results).picture(record.spec.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PNG)
    return path


def told(results: Path, record: CellRecord, kind: str = "cell") -> Entry:
    """What MLflow is told of a cell, or of what is behind it."""
    if not ResultsFolder(results).cell(record.spec.name).is_file():
        put(results, record)
    return next(one for one in entries([record], ResultsFolder(results)) if one.kind == kind)


def send(tracker: Tracker, record: CellRecord, results: Path) -> None:
    tracker.send(told(results, record), results)


def unsent(tracker: Tracker, results: Path) -> tuple[str, ...]:
    folder = ResultsFolder(results)
    wanted = [one for one in entries(load_cells(results), folder) if one.kind == "cell"]
    return tuple(one.key for one in tracker.unsent(wanted, results))


def sync(results: Path, tracker: Tracker) -> SyncResult:
    return sync_folder(ResultsFolder(results), tracker, lambda records: {"table.md": "|a table|"})


def runs_of(tracker: Tracker, deleted: bool = False, kind: str = "cell") -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name(tracker.experiment)
    assert experiment is not None
    query, view = f"tags.kind = '{kind}'", 2 if deleted else 1
    return list(client.search_runs([experiment.experiment_id], query, run_view_type=view))


def files_of(tracker: Tracker, run: Any) -> dict[str, bytes]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    names = [entry.path for entry in client.list_artifacts(run.info.run_id)]
    return {
        name: Path(client.download_artifacts(run.info.run_id, name)).read_bytes() for name in names
    }
