"""Sending cells to MLflow, each exactly once, and finding those that it does not have."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from uad_bench.cells import CellRecord
from uad_bench.results import ResultsFolder, load_cells
from uad_bench.system.disk import sha256_of
from uad_bench.tracking.connection import (
    BusyError,
    TrackingError,
    artifact_location,
    connect,
    public_uri,
)
from uad_bench.tracking.run import (
    run_datasets,
    run_metrics,
    run_name,
    run_params,
    run_tags,
    run_times,
)

# What MLflow takes in one batch: 100 parameters, 1000 values of all kinds together.
_PARAMS_PER_BATCH = 100
_METRICS_PER_BATCH = 900
_RUNS_PER_PAGE = 1000
_DIGEST_LENGTH = 36

_PAUSE_S = 3.0
"""Seconds before the second try where another process was at the store."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What became of the cells of a results folder.

    Attributes:
        sent: names of the cells that were sent now.
        already: names of the cells that were there before.
        failed: the cells that MLflow refused: name and reason.
    """

    sent: tuple[str, ...]
    already: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where cells are recorded. It holds no connection and no state.

    MLflow itself remembers what it has: a run carries the SHA-256 of its cell's JSON from the
    start, and the tag ``complete`` once all of it has arrived.

    Attributes:
        uri: an MLflow tracking URI: a server or a database.
        experiment: name of the MLflow experiment, created where it is missing.
    """

    uri: str
    experiment: str = "uad-bench"

    @property
    def where(self) -> str:
        """The URI without a user's name and password, fit to be printed."""
        return public_uri(self.uri)

    def send(self, record: CellRecord, folder: Path, picture: Path | None) -> None:
        """Record one cell as one MLflow run; a failed cell becomes a failed run.

        Nothing happens where MLflow has this very JSON. A run that an interruption left half-sent
        is completed. Runs of earlier JSONs of this cell from this folder are deleted, in MLflow's
        restorable way, once the new one is whole.

        Args:
            record: the cell.
            folder: the results folder, which holds the cell's JSON.
            picture: a PNG to attach, where there is one.

        Raises:
            TrackingError: if MLflow cannot be reached or refuses the cell, twice where it was busy.
        """
        _twice_if_busy(lambda: self._send(record, folder, picture))

    def _send(self, record: CellRecord, folder: Path, picture: Path | None) -> None:
        source = ResultsFolder(folder).cell(record.spec.name)
        with connect(self.uri, folder) as client:
            tags = run_tags(record, folder, sha256_of(source))
            experiment = self._experiment_id(client, folder)
            runs = _search(client, experiment, f"tags.cell = '{record.spec.name}'")
            same = [run for run in runs if _tag(run, "sha256") == tags["sha256"]]
            if any(_tag(run, "complete") for run in same):
                return
            own = [run.info.run_id for run in runs if _tag(run, "results") == tags["results"]]
            partial = [run.info.run_id for run in same if run.info.run_id in own]
            start, end = run_times(record)
            run_id = (
                partial[0]
                if partial
                else client.create_run(experiment, start, tags, run_name(record)).info.run_id
            )
            client.log_inputs(run_id, _datasets(record))
            log_numbers(client, run_id, record, end)
            for file in (source, picture):
                if file is not None:
                    client.log_artifact(run_id, str(file))
            client.set_terminated(run_id, "FINISHED" if record.state == "done" else "FAILED", end)
            client.set_tag(run_id, "complete", "true")
            for old in own:
                if old != run_id:
                    client.set_tag(old, "superseded_by", run_id)
                    client.delete_run(old)

    def unsent(self, folder: Path) -> tuple[CellRecord, ...]:
        """The cells of a results folder that MLflow does not have in their present form.

        Raises:
            TrackingError: if MLflow cannot be reached.
            UadBenchError: if the folder holds no cells, or one of them cannot be read.
        """
        return _twice_if_busy(lambda: self._unsent(folder))

    def _unsent(self, folder: Path) -> tuple[CellRecord, ...]:
        records = load_cells(folder)
        files = ResultsFolder(folder)
        with connect(self.uri, folder) as client:
            runs = _search(client, self._experiment_id(client, folder), "tags.complete = 'true'")
            there = {(_tag(run, "cell"), _tag(run, "sha256")) for run in runs}
            return tuple(
                record
                for record in records
                if (record.spec.name, sha256_of(files.cell(record.spec.name))) not in there
            )

    def _experiment_id(self, client: Any, folder: Path) -> str:
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            # The kind decides which pages MLflow shows; without it the user is asked.
            return str(
                client.create_experiment(
                    self.experiment,
                    artifact_location(self.uri, folder),
                    {"mlflow.experimentKind": "custom_model_development"},
                )
            )
        if experiment.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the experiment {self.experiment!r} was deleted in MLflow at "
                f"{self.where}: restore it there, or name another server in "
                "MLFLOW_TRACKING_URI"
            )
        return str(experiment.experiment_id)


def _twice_if_busy(action: Callable[[], T]) -> T:
    """Try once more where another process was at the store; what was half-sent is completed."""
    try:
        return action()
    except BusyError:
        time.sleep(_PAUSE_S)
        return action()


def default_tracker(results: Path) -> Tracker:
    """The tracker of a results folder: ``MLFLOW_TRACKING_URI``, else a database inside it."""
    database = results.resolve() / "mlflow.db"
    return Tracker(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database}")


def sync(folder: Path, tracker: Tracker) -> SyncResult:
    """Send the cells of a results folder that MLflow does not have yet, with their pictures.

    A cell that MLflow refuses does not hold up the others.

    Raises:
        TrackingError: if MLflow cannot be reached.
        UadBenchError: if the folder holds no cells, or one of them cannot be read.
    """
    files = ResultsFolder(folder)
    missing = tracker.unsent(folder)
    sent, failed = [], []
    for record in missing:
        name = record.spec.name
        picture = files.picture(name)
        try:
            tracker.send(record, folder, picture if picture.is_file() else None)
        except TrackingError as error:
            tracker.unsent(folder)  # raises if it is the server that is away
            failed.append((name, str(error)))
        else:
            sent.append(name)
    absent = {record.spec.name for record in missing}
    names = (record.spec.name for record in load_cells(folder))
    already = tuple(name for name in names if name not in absent)
    return SyncResult(tuple(sent), already, tuple(failed))


def log_numbers(client: Any, run_id: str, record: CellRecord, when: int) -> None:
    """All parameters and metrics in one call, or a few where there are more than MLflow takes.

    ``when`` is the cell's own end rather than now, so that completing a half-sent run repeats
    no point of it.
    """
    from mlflow.entities import Metric, Param

    metrics = [Metric(name, value, when, step) for name, value, step in run_metrics(record)]
    params = [Param(name, value) for name, value in run_params(record).items()]
    for some_metrics, some_params in zip_longest(
        _chunks(metrics, _METRICS_PER_BATCH), _chunks(params, _PARAMS_PER_BATCH)
    ):
        client.log_batch(run_id, some_metrics or [], some_params or [], synchronous=True)


def _datasets(record: CellRecord) -> list[Any]:
    """The datasets behind a cell, for MLflow's column of data sets. No path leaves the machine."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(name, digest[:_DIGEST_LENGTH], "uad-bench", source="{}"),
            [InputTag("mlflow.data.context", purpose)],
        )
        for name, digest, purpose in run_datasets(record)
    ]


def _chunks(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _search(client: Any, experiment: str, query: str) -> list[Any]:
    """All runs that match and are not deleted."""
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment], query, max_results=_RUNS_PER_PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _tag(run: Any, name: str) -> str | None:
    value: str | None = run.data.tags.get(name)
    return value
