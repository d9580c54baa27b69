"""MLflow has each cell exactly once and whole; when it is away, nothing else suffers."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from made_cells import made_use
from typer.testing import CliRunner

import uad_bench
import uad_bench.tracking.tracker as tracker_module
from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment, FitRecord, MapsUse
from uad_bench.cli.commands.sync import sync as sync_command
from uad_bench.cli.commands.ui import ui as ui_command
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import Metric
from uad_bench.results import ResultsFolder, load_cells, write_cell
from uad_bench.study_record import Searched, StudyMetric, StudyRecord, Trial, write_study
from uad_bench.system.disk import write_whole
from uad_bench.tracking import Tracker, TrackingError, default_tracker, entries, sync_models
from uad_bench.tracking import sync as sync_folder
from uad_bench.tracking.connection import artifact_location, public_uri
from uad_bench.tracking.entry import Entry
from uad_bench.tracking.server import serving
from uad_bench.tracking.sync import SyncResult
from uad_bench.volumes.steps.space import template_grid

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


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """A real server on this machine, stopped at the end."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", (folder / "files").as_uri()]
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail((folder / "server.log").read_text()[-2000:])
                time.sleep(0.2)
        yield uri
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(15)
        with contextlib.suppress(ProcessLookupError):  # its workers may outlive it
            os.killpg(process.pid, 9)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite database for the module (making one takes seconds); an experiment per test."""
    return f"sqlite:///{tmp_path_factory.mktemp('a database') / 'mlflow.db'}"


@pytest.fixture
def tracker(database: str, request: pytest.FixtureRequest) -> Tracker:
    return Tracker(database, experiment=request.node.name)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "my results"


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


# What a run says


def test_every_number_of_a_cell_becomes_a_metric_and_undefined_ones_are_left_out(
    results: Path,
) -> None:
    points = {name: value for name, value, _ in told(results, cell()).metrics}
    assert points["auprc"] == 0.4
    assert points["interval/auprc.low"] == 0.25
    assert points["interval/auprc.high"] == 0.5
    assert points["threshold/fpr1"] == 0.25
    assert points["validation/l1"] == 0.1
    assert not [name for name in points if "hd" in name]


def test_infinite_numbers_never_reach_mlflow(results: Path) -> None:
    wild = cell(metrics={"auprc": Metric(value=float("inf"), low=float("nan"))})
    assert not [name for name, _, _ in told(results, wild).metrics if "auprc" in name]


def test_a_curve_is_the_detectors_and_no_cell_repeats_it(results: Path) -> None:
    points = told(results, cell(), "detector").metrics
    assert [point for point in points if point[0] == "training/l1"] == [
        ("training/l1", 0.9, 1),
        ("training/l1", 0.5, 2),
        ("training/l1", 0.25, 3),
    ]
    assert not [name for name, _, _ in told(results, cell()).metrics if "training/" in name]


def test_parameters_of_the_method_are_flattened_and_kept_apart_from_the_cell(
    results: Path,
) -> None:
    params = told(results, cell(seed=3)).params
    assert params["method"] == "spa"
    assert params["seed"] == "3"
    assert params["method.beta"] == "0.001"
    assert params["method.widths"] == "[16, 32]"
    assert params["method.prior.snr"] == "16.0"
    assert params["training.dataset"] == "hi"
    assert params["data.recipe"] == "median"
    assert params["tuned"] == "beta"


def test_tags_say_simulated_and_name_which_data_is(results: Path) -> None:
    tags = told(results, cell()).tags
    assert tags["simulated"] == "true"
    assert tags["mlflow.note.content"] == "**Simulated data**: trained on hi."
    real = cell(training=use("hi", simulated=False))
    assert told(results, real).tags["simulated"] == "false"
    assert "mlflow.note.content" not in told(results, real).tags


def test_a_name_says_method_seed_dataset_and_postprocessing(results: Path) -> None:
    assert told(results, cell(seed=2)).name == "spa s2 mslub none (simulated)"
    assert told(results, cell(seed=2), "detector").name == "detector spa s2 (simulated)"
    spec = cell().spec.model_copy(update={"supervised_on": "wmh", "protocol": "paper"})
    real = cell(spec=spec, training=use("hi", simulated=False))
    assert told(results, real).name == "spa on wmh s0 mslub none paper"


def test_times_are_those_of_the_cell_not_of_the_sending(results: Path) -> None:
    one = told(results, cell())
    assert one.end - one.start == 12_500
    naive = cell().environment.model_copy(update={"started": "2026-11-22T10:00:00"})
    assert told(results, cell(environment=naive)).start == one.start
    wrong = cell().environment.model_copy(update={"started": "yesterday"})
    with pytest.raises(UadBenchError, match="'yesterday', which is no time"):
        told(results, cell(environment=wrong))


def test_names_that_mlflow_would_refuse_are_made_acceptable(results: Path) -> None:
    odd = cell(metrics={"dice@5%": Metric(value=0.5)})
    assert ("dice_5_", 0.5, 0) in told(results, odd).metrics


# Sending


def test_a_run_holds_parameters_metrics_tags_json_histograms_and_picture(
    tracker: Tracker, results: Path
) -> None:
    record = cell(histograms="histograms/some.npz")
    put(results, record)
    picture(results, record)
    (results / "histograms").mkdir()
    (results / "histograms" / "some.npz").write_bytes(b"counts")
    send(tracker, record, results)
    (run,) = runs_of(tracker)
    assert run.info.run_name == "spa s0 mslub none (simulated)"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 12_500
    assert run.data.params == told(results, record).params
    assert run.data.metrics["interval/auprc.high"] == 0.5
    datasets = {entry.dataset.name: entry.tags[0].value for entry in run.inputs.dataset_inputs}
    assert datasets == {"mslub": "evaluation", "hi simulated": "training"}
    assert run.data.tags["key"] == record.spec.name
    assert run.data.tags["git_commit"] == "c0ffee"
    assert run.data.tags["control"] == run.data.tags["supervised"] == "false"
    stored = ResultsFolder(results).cell(record.spec.name)
    files = files_of(tracker, run)
    assert files == {
        stored.name: stored.read_bytes(),
        f"{record.spec.name}.png": PNG,
        "some.npz": b"counts",
    }


def test_a_failed_cell_is_a_failed_run_with_its_reason(tracker: Tracker, results: Path) -> None:
    record = failed_cell()
    put(results, record)
    send(tracker, record, results)
    (run,) = runs_of(tracker)
    assert run.info.status == "FAILED"
    assert run.data.tags["reason"] == "the loss is NaN at step 7"
    assert "the loss is NaN at step 7" in run.data.tags["mlflow.note.content"]


def test_the_same_json_is_sent_once(tracker: Tracker, results: Path) -> None:
    put(results, cell())
    for _ in range(2):
        send(tracker, cell(), results)
    assert len(runs_of(tracker)) == 1
    assert unsent(tracker, results) == ()


def test_a_changed_cell_replaces_its_run_and_the_old_one_stays_restorable(
    tracker: Tracker, results: Path
) -> None:
    for record in (failed_cell(), cell(auprc=0.5)):
        put(results, record)
        send(tracker, record, results)
    (run,) = runs_of(tracker)
    assert run.data.metrics["auprc"] == 0.5
    (old,) = runs_of(tracker, deleted=True)
    assert old.data.tags["superseded_by"] == run.info.run_id


def test_the_same_cell_of_another_results_folder_is_left_alone(
    tracker: Tracker, tmp_path: Path
) -> None:
    for name, auprc in (("mine", 0.4), ("yours", 0.5)):
        put(tmp_path / name, cell(auprc=auprc))
        send(tracker, cell(auprc=auprc), tmp_path / name)
    assert {run.data.metrics["auprc"] for run in runs_of(tracker)} == {0.4, 0.5}
    assert unsent(tracker, tmp_path / "mine") == ()


def test_a_folder_of_the_same_path_on_another_machine_is_left_alone(
    tracker: Tracker, results: Path, tmp_path: Path
) -> None:
    """In the container of the guide, everybody's results have the same path."""
    for name, auprc in (("ann", 0.4), ("bob", 0.5)):
        put(results, cell(auprc=auprc))
        send(tracker, cell(auprc=auprc), results)
        results.rename(tmp_path / name)
    assert {run.data.metrics["auprc"] for run in runs_of(tracker)} == {0.4, 0.5}
    assert len(runs_of(tracker, kind="command")) == 2
    (tmp_path / "ann").rename(results)
    put(results, cell(auprc=0.6))
    send(tracker, cell(auprc=0.6), results)
    assert {run.data.metrics["auprc"] for run in runs_of(tracker)} == {0.5, 0.6}


def test_a_run_and_a_sync_that_send_the_same_at_once_send_it_once(
    tracker: Tracker, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(results, cell())
    entry, begin = told(results, cell()), Tracker._begin

    def slow(*given: Any) -> str:
        time.sleep(0.5)
        return begin(*given)

    monkeypatch.setattr(Tracker, "_begin", slow)
    both = [Tracker(tracker.uri, tracker.experiment) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: one.send(entry, results), both))
    assert len(runs_of(tracker)) == len(runs_of(tracker, kind="command")) == 1


def test_a_half_sent_run_is_completed_not_doubled(
    tracker: Tracker, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    curve = tuple((step, 0.5) for step in range(1000))
    record = cell(fit=FitRecord(detector="spa-1", curves={"l1": curve}))
    original, calls = MlflowClient.log_batch, []

    def broken(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("the cable is out")
        original(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", broken)
    detector = told(results, record, "detector")
    with pytest.raises(TrackingError, match="the cable is out"):
        tracker.send(detector, results)
    (half,) = runs_of(tracker, kind="detector")
    assert "complete" not in half.data.tags
    assert tracker.unsent([detector], results) == (detector,)
    tracker.send(detector, results)
    (run,) = runs_of(tracker, kind="detector")
    assert run.info.run_id == half.info.run_id
    assert run.data.tags["complete"] == "true"
    client = MlflowClient(tracking_uri=tracker.uri)
    assert len(client.get_metric_history(run.info.run_id, "training/l1")) == 1000


def test_metrics_travel_in_one_batch_and_long_curves_still_arrive(
    tracker: Tracker, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    calls = []
    original = MlflowClient.log_batch

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(args[1]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    put(results, cell())
    send(tracker, cell(), results)
    assert len(calls) == 1
    fit = FitRecord(detector="d", curves={"l1": tuple((step, 0.5) for step in range(2000))})
    tracker.send(told(results, cell(seed=1, fit=fit), "detector"), results)
    assert calls[1:] == [800, 800, sum(calls[1:]) - 1600]
    assert sum(calls[1:]) >= 2000


def test_runs_are_found_beyond_the_first_page(
    tracker: Tracker, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "_RUNS_PER_PAGE", 1)
    records = [cell(seed) for seed in range(3)]
    put(results, *records)
    assert len(sync(results, tracker).sent) == 3
    assert len(sync(results, tracker).already) == 3


# Syncing


def test_sync_sends_what_is_missing_or_changed_and_pictures_with_it(
    tracker: Tracker, results: Path
) -> None:
    put(results, cell(0), cell(1), cell(2))
    picture(results, cell(1))
    send(tracker, cell(0), results)
    send(tracker, cell(2), results)
    put(results, cell(2, auprc=0.9))
    done = sync(results, tracker)
    assert done.sent == (cell(1).spec.name, cell(2).spec.name)
    assert done.already == (cell(0).spec.name,)
    assert done.failed == ()
    by_cell = {run.data.tags["key"]: run for run in runs_of(tracker)}
    assert f"{cell(1).spec.name}.png" in files_of(tracker, by_cell[cell(1).spec.name])


def test_what_is_refused_does_not_hold_up_the_rest(tracker: Tracker, results: Path) -> None:
    odd = cell(0, fit=None, metrics={"x" * 300: Metric(value=0.5)})
    put(results, odd, cell(1))
    done = sync(results, tracker)
    assert done.sent == (cell(1).spec.name,)
    ((name, reason),) = done.failed
    assert name == "spa s0 mslub none (simulated)"
    assert "\n" not in reason


def study(**changes: Any) -> StudyRecord:
    """What chose the parameters of ``cell()``."""
    tried = [
        Trial(number=1, params={"beta": 1e-2}, metrics={"l1": 0.3}),
        Trial(number=2, params={"beta": 1e-1}, state="diverged"),
        Trial(number=3, params={"beta": 1e-3}, metrics={"l1": 0.2}),
        Trial(number=4, params={"beta": 1e-4}, metrics={"l1": 0.4}, state="stopped"),
    ]
    facts: dict[str, Any] = {
        "name": "spa-12345678",
        "method": "spa",
        "title": "SPA",
        "objective": "reconstruction",
        "metrics": (StudyMetric(name="l1"),),
        "sampler": "tpe",
        "seed": 0,
        "space": {"beta": Searched(low=1e-5, high=1.0, log=True)},
        "default": {"beta": 1e-2},
        "trials": tuple(tried),
        "front": (3,),
        "chosen": 3,
        "reason": "the lowest l1",
        "importances": {},
        "simulated": True,
    }
    return StudyRecord(**(facts | changes))


def test_a_command_is_the_parent_of_its_trials_detectors_and_cells(
    tracker: Tracker, results: Path
) -> None:
    folder = ResultsFolder(results)
    put(results, cell(0, run="abc"), cell(1, run="abc"), cell(2, run="other"))
    write_whole(
        folder.runs / "abc.json",
        json.dumps({"methods": ["spa"], "datasets": ["all"], "seeds": [0, 1], "limit": 5}).encode(),
    )
    write_whole(folder.detectors / "spa-1" / "detector.json", b"{}")
    write_study(folder.tuning, study())
    write_study(folder.tuning, study(name="gmvae-1", method="gmvae"))  # the same choice

    done = sync(results, tracker)
    assert (len(done.sent), done.failed) == (3, ())
    commands = {run.data.tags["key"]: run for run in runs_of(tracker, kind="command")}
    assert sorted(commands) == ["abc", "other", "tune gmvae-1"]
    command = commands["abc"]
    assert command.info.run_name == "2026-11-22 10:00 spa on all (simulated)"
    assert command.info.status == "FINISHED"
    assert command.data.params["seed"] == "0, 1"
    assert command.data.params["setting.limit"] == "5"
    assert command.data.metrics["cells"] == 2
    assert command.data.tags["mlflow.note.content"] == "|a table|"
    assert files_of(tracker, command) == {"table.md": b"|a table|"}

    def below(kind: str) -> dict[str, Any]:
        """Runs of a kind below the command, by name."""
        return {
            run.info.run_name.removesuffix(" (simulated)"): run
            for run in runs_of(tracker, kind=kind)
            if run.data.tags["mlflow.parentRunId"] == command.info.run_id
        }

    assert sorted(below("cell")) == ["spa s0 mslub none", "spa s1 mslub none"]
    (detector,) = below("detector").values()
    assert files_of(tracker, detector) == {"detector.json": b"{}"}
    trials = below("trial")
    assert sorted(trials) == [f"trial {number} of spa" for number in (1, 2, 3, 4)]
    assert trials["trial 3 of spa"].data.tags["chosen"] == "true"
    assert trials["trial 3 of spa"].data.params["method.beta"] == "0.001"
    assert trials["trial 3 of spa"].data.metrics["validation/l1"] == 0.2
    assert trials["trial 2 of spa"].info.status == "FAILED"
    assert trials["trial 4 of spa"].data.tags["state"] == "stopped"

    assert sync(results, tracker).sent == ()
    assert len(runs_of(tracker, kind="command")) == 3


def test_maps_that_come_later_stand_below_the_same_command(tracker: Tracker, results: Path) -> None:
    """MLflow lets no parameter change: the second sync was refused, and all that came after it."""

    def scored(method: str) -> CellRecord:
        spec = cell().spec.model_copy(update={"method": method})
        return cell(spec=spec, training=None, fit=None, run="", maps=MapsUse(digest="0123abcd"))

    for number, method in enumerate(("mine", "yours"), 1):
        put(results, scored(method))
        done = sync(results, tracker)
        assert (done.sent, done.failed) == ((scored(method).spec.name,), ())
        (command,) = runs_of(tracker, kind="command")
        assert command.data.metrics["cells"] == number
    assert command.info.run_name == "2026-11-22 10:00 mine, yours on mslub"
    assert not command.data.params


@pytest.mark.slow
def test_a_server_that_comes_and_goes_loses_nothing(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    away = Tracker(f"http://127.0.0.1:{port}")
    put(results, cell(0), failed_cell(1))
    started = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer") as caught:
        send(away, cell(0), results)
    assert time.monotonic() - started < 20
    assert f"uad-bench sync --results '{results}'" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrackingError):
        sync(results, away)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", away.uri)
    with mlflow_server(tmp_path, port) as uri:
        tracker = default_tracker(results)
        assert tracker.uri == uri
        picture(results, cell(0))
        app = typer.Typer()
        app.command()(sync_command)
        answer = CliRunner().invoke(app, ["--results", str(results)])
        assert answer.exit_code == 0, answer.output
        assert "2 cells sent, 0 were there, 0 refused" in answer.output
        assert sync(results, tracker).sent == ()
        by_cell = {run.data.tags["key"]: run for run in runs_of(tracker)}
        done = by_cell[cell(0).spec.name]
        assert done.data.metrics["auprc"] == 0.4
        assert sorted(Path(name).suffix for name in files_of(tracker, done)) == [".json", ".png"]
        assert by_cell[failed_cell(1).spec.name].info.status == "FAILED"
    with pytest.raises(TrackingError, match="does not answer"):
        unsent(tracker, results)


def test_a_server_that_accepts_and_never_answers_is_given_up(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    put(results, cell())
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(5)
        started = time.monotonic()
        with pytest.raises(TrackingError, match="does not answer"):
            send(Tracker(f"http://127.0.0.1:{mute.getsockname()[1]}"), cell(), results)
    assert time.monotonic() - started < 15


# Where things are, and what stays untouched


def test_without_a_server_the_database_and_files_lie_in_the_results_folder(
    results: Path, tmp_path: Path
) -> None:
    """In a process of its own: nothing in the working directory or the home folder, no word."""
    put(results, cell())
    (tmp_path / "home").mkdir()
    (tmp_path / "cwd").mkdir()
    code = (
        "import logging, os, sys\n"
        "from pathlib import Path\n"
        "from uad_bench.results import ResultsFolder\n"
        "from uad_bench.tracking import default_tracker, sync\n"
        "assert not {'mlflow', 'torch'} & set(sys.modules)\n"
        "before = dict(os.environ)\n"
        "logging.getLogger('alembic').setLevel(logging.WARNING)\n"
        "folder = Path(sys.argv[1])\n"
        "done = sync(ResultsFolder(folder), default_tracker(folder), lambda _: {})\n"
        "assert (len(done.sent), done.failed) == (1, ()), done\n"
        "changed = dict(os.environ).items() ^ before.items()\n"
        "assert not changed, changed\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "for name in ('alembic', 'mlflow', 'sqlalchemy.engine', ''):\n"
        "    for handler in logging.getLogger(name).handlers:\n"
        "        assert isinstance(handler, logging.NullHandler), name\n"
        "assert logging.getLogger('alembic').level == logging.WARNING\n"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW", "XDG", "PYTEST")) and name != "CI"
    }
    # A process above that uses MLflow itself leaves this, and MLflow's import takes it away.
    environment["_MLFLOW_TELEMETRY_SESSION_ID"] = "of the caller"
    answer = subprocess.run(
        [sys.executable, "-c", code, str(results)],
        cwd=tmp_path / "cwd",
        env=environment | {"HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not answer.stderr, answer.stderr
    assert (answer.returncode, answer.stdout) == (0, "")
    assert list((tmp_path / "cwd").iterdir()) == []
    assert list((tmp_path / "home").iterdir()) == []
    assert (results / "mlflow.db").is_file()
    (stored,) = (results / "mlartifacts").rglob("*.json")
    assert json.loads(stored.read_text())["spec"]["method"] == "spa"


def test_the_active_run_and_uri_of_the_callers_own_mlflow_stay_as_they_are(
    tracker: Tracker, results: Path
) -> None:
    import mlflow

    before = (mlflow.get_tracking_uri(), mlflow.active_run(), logging.getLogger("mlflow").level)
    put(results, cell())
    send(tracker, cell(), results)
    after = (mlflow.get_tracking_uri(), mlflow.active_run(), logging.getLogger("mlflow").level)
    assert after == before


def test_a_deleted_experiment_is_named_with_what_to_do(tracker: Tracker, results: Path) -> None:
    from mlflow import MlflowClient

    put(results, cell())
    send(tracker, cell(), results)
    client = MlflowClient(tracking_uri=tracker.uri)
    client.delete_experiment(client.get_experiment_by_name(tracker.experiment).experiment_id)
    with pytest.raises(TrackingError, match=r"was deleted in MLflow .* restore it"):
        unsent(Tracker(tracker.uri, tracker.experiment), results)


def ui(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(ui_command)
    return CliRunner().invoke(app, arguments)


def test_ui_names_a_server_and_a_store_that_is_not_there(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ui("--results", str(results)).exception
    assert isinstance(found, UadBenchError)
    assert f"{results / 'mlflow.db'}: no MLflow store" in str(found)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.lab.example")
    answer = ui("--results", str(results))
    assert answer.exit_code == 0
    assert answer.output == "MLflow is at https://mlflow.lab.example (MLFLOW_TRACKING_URI)\n"


def test_a_detector_is_a_model_that_takes_paths_and_arrays(
    database: str, results: Path, lab: Path, prepared: Path
) -> None:
    import mlflow
    from mlflow import MlflowClient

    tracker = Tracker(database, experiment="models")
    made = uad_bench.fit("thresholding", data_root=lab, cache=prepared, progress=False)
    made.save(results / "detectors" / "spa-1")
    put(results, cell())
    sync(results, tracker)
    for register, is_new in ((False, True), (False, False), (True, True), (True, False)):
        found = sync_models(ResultsFolder(results), tracker, register=register)
        assert (found.sent, found.already) == ((("spa-1",), ()) if is_new else ((), ("spa-1",)))

    client = MlflowClient(tracking_uri=database)
    (version,) = client.search_model_versions("name = 'uad-bench-spa'")
    (run,) = runs_of(tracker, kind="detector")
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.status.value == "READY"
    assert (version.run_id, version.source) == (run.info.run_id, model.artifact_location)
    loaded = mlflow.pyfunc.load_model(model.artifact_location)
    scan = lab / "MSLUB" / "patient11" / "FLAIR.nii.gz"
    (found,) = loaded.predict({"scan": str(scan)})
    np.testing.assert_array_equal(found, made.predict(scan).map)
    image = np.zeros(template_grid(made.recipe).shape, np.float32)
    image[20:30, 40:80, 40:80] = 0.5
    (found,) = loaded.predict({"scan": [image]})
    np.testing.assert_array_equal(found, made.predict(image).map)


@pytest.mark.parametrize("mark", ["model", "registered"])
def test_a_model_whose_sending_was_cut_off_is_completed_not_doubled(
    tracker: Tracker, results: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    from mlflow import MlflowClient

    name = f"spa-{mark}"
    fit = FitRecord(detector="spa-1")
    spec = cell().spec.model_copy(update={"method": name})
    put(results, cell(spec=spec, fit=fit))
    for file in ("detector.json", "state.safetensors"):
        write_whole(results / "detectors" / "spa-1" / file, b"{}")
    sync(results, tracker)
    original = MlflowClient.set_tag

    def cut_off(self: Any, run_id: str, key: str, value: Any, **more: Any) -> Any:
        if key == mark:
            raise RuntimeError("the cable is out")
        return original(self, run_id, key, value, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_tag", cut_off)
        with pytest.raises(TrackingError, match="the cable is out"):
            sync_models(ResultsFolder(results), tracker, register=True)
    assert sync_models(ResultsFolder(results), tracker, register=True).sent == ("spa-1",)
    client = MlflowClient(tracking_uri=tracker.uri)
    (run,) = runs_of(tracker, kind="detector")
    assert len(run.outputs.model_outputs) == 1
    assert len(client.search_model_versions(f"name = 'uad-bench-{name}'")) == 1
    assert len(client.search_logged_models([run.info.experiment_id])) == 1


@pytest.mark.slow
def test_ui_serves_the_cells_until_ctrl_c(results: Path, tmp_path: Path) -> None:
    put(results, cell())
    tracker = default_tracker(results)
    sync(results, tracker)
    code = "import sys; from uad_bench.cli import main; sys.exit(main())"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = pytest.raises(UadBenchError, match=f"^--port {port}: Address already in use; give")
        with said, contextlib.ExitStack() as stack:
            stack.enter_context(serving(tracker, port))
    process = subprocess.Popen(
        [sys.executable, "-c", code, "ui", "--results", str(results), "--port", str(port)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    address = url.partition("/#/")[0]
    assert address == f"http://127.0.0.1:{port}"
    assert url.endswith("/runs?viewStateShareKey=cells")
    urllib.request.urlopen(address, timeout=10).close()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)


MLFLOW = tuple(int(part) for part in version("mlflow").split(".")[:2])
refused = pytest.param(
    "./mlruns", marks=pytest.mark.skipif(MLFLOW < (3, 13), reason="MLflow 3.13 refuses folders")
)


@pytest.mark.parametrize("uri", ["sqlite:////proc/nope/x.db", "nonsense://x", refused])
def test_a_place_that_cannot_be_used_is_one_line_at_once(uri: str, results: Path) -> None:
    put(results, cell())
    with pytest.raises(TrackingError) as caught:
        send(Tracker(uri), cell(), results)
    assert "\n" not in str(caught.value)
    assert uri in str(caught.value)


def test_a_file_that_is_no_database_is_one_line_at_once(results: Path, tmp_path: Path) -> None:
    put(results, cell())
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(TrackingError, match="not a database"):
        send(Tracker(f"sqlite:///{tmp_path / 'x.db'}"), cell(), results)


def test_a_password_in_the_uri_is_never_shown(results: Path) -> None:
    put(results, cell())
    tracker = Tracker("postgresql+psycopg2://lab:secret@127.0.0.1:9/mlflow")
    with pytest.raises(TrackingError) as caught:
        send(tracker, cell(), results)
    assert "secret" not in str(caught.value)
    assert tracker.where == "postgresql+psycopg2://127.0.0.1:9/mlflow"
    assert public_uri("databricks") == "databricks"


def test_files_never_go_to_the_working_directory(tmp_path: Path) -> None:
    beside = (tmp_path / "db" / "mlartifacts").as_uri()
    assert artifact_location(f"sqlite:///{tmp_path}/db/mlflow.db", tmp_path) == beside
    inside = (tmp_path / "mlartifacts").as_uri()
    assert artifact_location("postgresql://host/x", tmp_path) == inside
    assert artifact_location("https://mlflow.example.org", tmp_path) is None


@pytest.mark.parametrize("said", ["table experiments already exists", "database is locked"])
@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_store_that_another_process_is_at_is_tried_again(
    said: str, times: int, tracker: Tracker, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    find = Tracker._experiment_id

    def busy(self: Tracker, client: Any, folder: Path) -> str:
        calls.append(said)
        if len(calls) <= times:
            raise RuntimeError(f"(sqlite3.OperationalError) {said}")
        return find(self, client, folder)

    monkeypatch.setattr(Tracker, "_experiment_id", busy)
    monkeypatch.setattr(tracker_module, "_PAUSES_S", (0.0,) * 4)
    record = cell()
    write_cell(ResultsFolder(results), record)
    if times <= 4:
        send(tracker, record, results)
    else:
        with pytest.raises(TrackingError, match=said):
            send(tracker, record, results)
    assert len(calls) == min(times, 4) + 1


def test_who_may_read_the_database_and_its_files_the_umask_decides(results: Path) -> None:
    umask = 0o006  # neither the usual one, nor that of a mode anybody would write down
    record = cell()
    before = os.umask(umask)
    try:
        write_cell(ResultsFolder(results), record)
        send(default_tracker(results), record, results)
    finally:
        os.umask(before)
    files = [results / "mlflow.db", *results.glob("mlartifacts/*/artifacts/*.json")]
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o666 & ~umask}


def test_runs_that_create_one_database_at_once_all_arrive(results: Path, tmp_path: Path) -> None:
    """MLflow's own lock is in TMPDIR, which two machines or jobs do not share."""
    write_cell(ResultsFolder(results), cell())
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'shared.db'}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "uad_bench", "sync", "--results"]
    runs = []
    for number in range(2):
        folder, temporary = tmp_path / f"results-{number}", tmp_path / f"tmp-{number}"
        shutil.copytree(results, folder)
        temporary.mkdir()
        runs.append(
            subprocess.Popen(
                [*command, str(folder)],
                env=environment | {"TMPDIR": str(temporary)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    told = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert any("1 cell sent" in said for _, said in told), told
    assert all("0 refused" in said for _, said in told), told
