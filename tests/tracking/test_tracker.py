"""MLflow has each cell exactly once and whole."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tracked_cells import (
    PNG,
    cell,
    failed_cell,
    files_of,
    picture,
    put,
    runs_of,
    send,
    sync,
    told,
    unsent,
)

import uad_bench.tracking.tracker as tracker_module
from uad_bench.cells import FitRecord
from uad_bench.results import ResultsFolder, write_cell
from uad_bench.tracking import Tracker, TrackingError


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
