"""Sending entries to MLflow, each exactly once, and finding those that it does not have."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from uad_bench.errors import RunError, UadBenchError
from uad_bench.system.disk import write_whole
from uad_bench.system.locks import held
from uad_bench.tracking.connection import (
    BusyError,
    TrackingError,
    artifact_location,
    connect,
    public_uri,
    sqlite_file,
    sqlite_uri,
)
from uad_bench.tracking.entry import Entry
from uad_bench.tracking.model import log_model, register_model
from uad_bench.tracking.moved import follow_files
from uad_bench.tracking.views import experiment_tags

# What MLflow takes in one batch: 100 parameters, 1000 values of all kinds together.
_PARAMS_PER_BATCH = 100
_METRICS_PER_BATCH = 800
_RUNS_PER_PAGE = 1000
_DIGEST_LENGTH = 36

_WORD = ".mlflow"
"""The file in a results folder that tells it from others of the same path."""

_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try at a store that another process is at."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where entries are recorded. It holds no connection.

    MLflow itself remembers what it has: a run carries the SHA-256 of what it was made from since
    it began, and the tag ``complete`` once all of it has arrived.

    Attributes:
        uri: an MLflow tracking URI: a server or a database.
        experiment: name of the MLflow experiment, created where it is missing.
    """

    uri: str
    experiment: str = "uad-bench"
    _known: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False, compare=False)
    """Identifiers that MLflow was asked for, so that it is asked once."""

    @property
    def where(self) -> str:
        """The URI without a user's name and password, fit to be printed."""
        return public_uri(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether it is a server, with pages of its own."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def missing(self) -> Path | None:
        """The SQLite file that is to be made yet; ``None`` for one that is there, and elsewhere."""
        file = sqlite_file(self.uri)
        return None if file is None or file.is_file() else file

    def send(self, entry: Entry, folder: Path) -> None:
        """Record an entry as one MLflow run below its command's; a failed one becomes a failed run.

        Nothing happens where MLflow has this very content. A run that an interruption left
        half-sent is completed. Runs of earlier content of this entry from this folder are deleted,
        in MLflow's restorable way, once the new one is whole.

        Args:
            entry: a detector, a trial or a cell.
            folder: the results folder that it was made from.

        Raises:
            TrackingError: if MLflow cannot be reached or refuses it, twice where it was busy.
        """
        with _alone(folder):
            _patiently(lambda: self._send(entry, folder))

    def _send(self, entry: Entry, folder: Path) -> None:
        with connect(self.uri, folder) as client:
            experiment = self._experiment_id(client, folder)
            runs = self._runs_of(client, experiment, entry)
            same = [run for run in runs if _tag(run, "sha256") == entry.sha256]
            if any(_tag(run, "complete") for run in same):
                return
            own = [run.info.run_id for run in runs if _is_of(run, folder)]
            partial = [run.info.run_id for run in same if run.info.run_id in own]
            run_id = partial[0] if partial else self._begin(client, experiment, entry, folder)
            _complete(client, run_id, entry)
            for old in own:
                if old != run_id:
                    client.set_tag(old, "superseded_by", run_id)
                    client.delete_run(old)

    def close(self, command: Entry, folder: Path) -> None:
        """Bring a command up to date and end it; nothing happens where nothing was sent below it.

        Args:
            command: with all that it computed.
            folder: its results folder.

        Raises:
            TrackingError: as :meth:`send`.
        """
        with _alone(folder):
            _patiently(lambda: self._close(command, folder))

    def _close(self, command: Entry, folder: Path) -> None:
        with connect(self.uri, folder) as client:
            experiment = self._experiment_id(client, folder)
            for run in self._own(client, experiment, command, folder)[:1]:
                if _tag(run, "complete") != command.sha256:
                    _complete(client, run.info.run_id, command)

    def send_model(self, detector: Entry, home: Path, folder: Path, registered: str | None) -> bool:
        """Log a detector that was sent as an MLflow model of its run, once.

        Args:
            detector: its entry.
            home: its folder.
            folder: the results folder.
            registered: the registered model that it becomes a version of, ``None`` for none.

        Returns:
            Whether something was sent: it was not logged, or not registered.

        Raises:
            TrackingError: if MLflow cannot be reached or refuses it.
        """
        is_new = False
        with connect(self.uri, folder) as client:
            experiment = self._experiment_id(client, folder)
            for run in self._own(client, experiment, detector, folder):
                run_id, model = run.info.run_id, _tag(run, "model")
                if model is None:
                    model = log_model(client, experiment, run, home)
                    client.set_tag(run_id, "model", model)
                    is_new = True
                if registered is not None and _tag(run, "registered") is None:
                    register_model(client, registered, model, run_id)
                    client.set_tag(run_id, "registered", registered)
                    is_new = True
        return is_new

    def unsent(self, entries: Iterable[Entry], folder: Path) -> tuple[Entry, ...]:
        """Those entries that MLflow does not have in their present form.

        Raises:
            TrackingError: if MLflow cannot be reached.
        """
        return _patiently(lambda: self._unsent(entries, folder))

    def _unsent(self, entries: Iterable[Entry], folder: Path) -> tuple[Entry, ...]:
        with connect(self.uri, folder) as client:
            runs = _search(client, self._experiment_id(client, folder), "tags.complete = 'true'")
            there = {(_tag(run, "kind"), _tag(run, "key"), _tag(run, "sha256")) for run in runs}
            return tuple(one for one in entries if (one.kind, one.key, one.sha256) not in there)

    def _begin(self, client: Any, experiment: str, entry: Entry, folder: Path) -> str:
        """Create an entry's run, with all that it is found by."""
        tags = dict(entry.tags) | {
            "kind": entry.kind,
            "key": entry.key,
            "results": _place(folder),
            "mlflow.source.name": "uad-bench",
        }
        if word := _word(folder):
            tags["folder"] = word
        if entry.parent is None:
            # A command changes until it ends, and has no content before.
            return str(client.create_run(experiment, entry.start, tags, entry.name).info.run_id)
        tags["sha256"] = entry.sha256
        tags["mlflow.parentRunId"] = self._parent_id(client, experiment, entry.parent, folder)
        return str(client.create_run(experiment, entry.start, tags, entry.name).info.run_id)

    def _parent_id(self, client: Any, experiment: str, command: Entry, folder: Path) -> str:
        """The run of a command, which is created where there is none."""
        key = (experiment, _place(folder), _word(folder), command.key)
        if key not in self._known:
            found = self._own(client, experiment, command, folder)
            self._known[key] = (
                found[0].info.run_id if found else self._begin(client, experiment, command, folder)
            )
        return self._known[key]

    def _own(self, client: Any, experiment: str, entry: Entry, folder: Path) -> list[Any]:
        """The runs of an entry that came from this folder."""
        runs = self._runs_of(client, experiment, entry)
        return [run for run in runs if _is_of(run, folder)]

    def _runs_of(self, client: Any, experiment: str, entry: Entry) -> list[Any]:
        return _search(
            client, experiment, f"tags.kind = '{entry.kind}' and tags.key = '{entry.key}'"
        )

    def _experiment_id(self, client: Any, folder: Path) -> str:
        key = (self.experiment,)
        if key not in self._known:
            self._known[key] = self._found_experiment(client, folder)
        return self._known[key]

    def _found_experiment(self, client: Any, folder: Path) -> str:
        follow_files(self.uri, self.experiment)
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            place = artifact_location(self.uri, folder)
            return str(client.create_experiment(self.experiment, place, experiment_tags()))
        if experiment.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the experiment {self.experiment!r} was deleted in MLflow at "
                f"{self.where}: restore it there, or name another server in "
                "MLFLOW_TRACKING_URI"
            )
        return str(experiment.experiment_id)


def default_tracker(results: Path) -> Tracker:
    """The tracker of a results folder: ``MLFLOW_TRACKING_URI``, else a database inside it."""
    database = results.resolve() / "mlflow.db"
    return Tracker(os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(database))


def log_numbers(client: Any, run_id: str, entry: Entry, tags: Mapping[str, str]) -> None:
    """All parameters, metrics and some tags in one call, or a few where there are more.

    Metrics have the entry's own end as their time rather than now, so that completing a half-sent
    run repeats no point of it. The tags go with the last call.
    """
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(name, value, entry.end, step) for name, value, step in entry.metrics]
    params = [Param(name, value) for name, value in entry.params.items()]
    batches = list(
        zip_longest(_chunks(metrics, _METRICS_PER_BATCH), _chunks(params, _PARAMS_PER_BATCH))
    )
    for number, (some_metrics, some_params) in enumerate(batches or [(None, None)], 1):
        last = [RunTag(*item) for item in tags.items()] if number >= len(batches) else []
        client.log_batch(run_id, some_metrics or [], some_params or [], last, synchronous=True)


def _complete(client: Any, run_id: str, entry: Entry) -> None:
    """Send everything of an entry; the mark of a whole run last."""
    if entry.datasets:
        client.log_inputs(run_id, _datasets(entry))
    for file in entry.files:
        client.log_artifact(run_id, str(file))
    for name, text in entry.texts.items():
        client.log_text(run_id, text, name)
    if entry.parent is None:  # it grows with its cells
        client.update_run(run_id, name=entry.name)
    client.set_terminated(run_id, "FAILED" if entry.failed else "FINISHED", entry.end)
    if entry.parent is None:
        log_numbers(client, run_id, entry, {**entry.tags, "complete": entry.sha256})
    else:
        log_numbers(client, run_id, entry, {"complete": "true"})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time send what is in a folder: a run and ``sync`` would send it twice.

    Where there can be no lock, as in a folder that cannot be written to, no run sends anything.
    """
    with ExitStack() as stack:
        with suppress(RunError):
            stack.enter_context(held(folder / f"{_WORD}.lock"))
        yield


def _patiently(action: Callable[[], T]) -> T:
    """Try again where another process was at the store; what was half-sent is completed."""
    for pause in _PAUSES_S:
        try:
            return action()
        except BusyError:
            time.sleep(pause)
    return action()


def _datasets(entry: Entry) -> list[Any]:
    """The datasets behind an entry, for MLflow's column of them. No path leaves the machine."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(name, digest[:_DIGEST_LENGTH], "uad-bench", source="{}"),
            [InputTag("mlflow.data.context", purpose)],
        )
        for name, digest, purpose in entry.datasets
    ]


def _place(folder: Path) -> str:
    """What runs have for the results folder that they were made from."""
    return str(folder.resolve())


def _word(folder: Path) -> str:
    """The word of a results folder, made once; empty where nothing can be written into it.

    Folders of several machines or containers may have one path.
    """
    file = folder / _WORD
    with suppress(OSError):
        return file.read_text(encoding="utf-8").strip()
    with suppress(OSError, UadBenchError):
        write_whole(file, f"{secrets.token_hex(8)}\n".encode())
        return file.read_text(encoding="utf-8").strip()
    return ""


def _is_of(run: Any, folder: Path) -> bool:
    """Whether a run was made from a results folder, by its path, and its word if both say one."""
    if _tag(run, "results") != _place(folder):
        return False
    words = {_tag(run, "folder") or "", _word(folder)} - {""}
    return len(words) < 2


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
