"""What is missing or changed is sent, below the command that it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracked_cells import cell, files_of, picture, put, runs_of, send, sync

from uad_bench.cells import CellRecord, MapsUse
from uad_bench.evaluation.values import Metric
from uad_bench.results import ResultsFolder
from uad_bench.study_record import Searched, StudyMetric, StudyRecord, Trial, write_study
from uad_bench.system.disk import write_whole
from uad_bench.tracking import Tracker


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
