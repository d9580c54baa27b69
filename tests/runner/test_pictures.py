"""The run's own process draws the pictures of cells, and a run that was killed loses none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from uad_bench.evaluation.protocol import Protocol
from uad_bench.plugins.registry import open_registry
from uad_bench.report.figures import cells as figures
from uad_bench.results import ResultsFolder, load_cells
from uad_bench.runner import run as running
from uad_bench.runner.config import load_config
from uad_bench.runner.events import CellWritten, Event, Noted
from uad_bench.runner.executors.contract import Slot
from uad_bench.runner.executors.local import LocalExecutor


class Away:
    """Runs jobs as a worker elsewhere does: what they tell is heard once each is done.

    Attributes:
        left: per job, the pictures that were there when it was done.
    """

    def __init__(self, results: ResultsFolder) -> None:
        self._results = results
        self.left: list[int] = []

    def run(self, jobs: Any, perform: Any, tell: Any) -> Any:
        def away(job: Any, done: Any, _: Any) -> object:
            said: list[Event] = []
            result = perform(job, done, Slot(said.append))
            self.left.append(len(list(self._results.pictures.glob("*.png"))))
            for event in said:
                tell(event)
            return result

        yield from LocalExecutor().run(jobs, away, tell)


@pytest.fixture
def words(lab: Path, prepared: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "methods": "thresholding",
        "datasets": "mslub",
        "data_root": lab,
        "cache": prepared,
        "controls": "",
        "mlflow": False,
        "results": tmp_path / "results",
    }


def ran(words: dict[str, Any], executor: Any = None) -> tuple[running.Outcome, list[Event]]:
    heard: list[Event] = []
    config = load_config(None, words)
    return running.run(config, open_registry(None), (heard.append,), executor=executor), heard


def files(results: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in (results / "pictures").iterdir()}


def test_a_worker_draws_nothing_and_the_pictures_are_the_same(words, tmp_path):
    executor = Away(ResultsFolder(words["results"]))
    outcome, _ = ran(words, executor)
    assert set(executor.left) == {0}
    ran(words | {"results": tmp_path / "here"})
    assert files(words["results"]) == files(tmp_path / "here")
    assert set(files(words["results"])) == {f"{one.spec.name}.png" for one in outcome.records}


def test_a_picture_is_there_before_its_cell_is_recorded(words, monkeypatch):
    results, there = ResultsFolder(words["results"]), []

    class Recorder:
        __name__ = "mlflow"

        def __init__(self, *_: object) -> None:
            pass

        def __call__(self, event: Event) -> None:
            if isinstance(event, CellWritten):
                there.append(results.picture(event.record.spec.name).is_file())

        def finish(self) -> None:
            pass

    monkeypatch.setattr(running, "Mlflow", Recorder)
    ran(words | {"mlflow": True})
    assert there == [True, True]


def test_a_run_that_is_killed_while_it_draws_is_followed_by_one_that_draws(
    words, tmp_path, monkeypatch
):
    def killed(*_: object, **__: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(figures, "cell_picture", killed)
        with pytest.raises(KeyboardInterrupt):
            ran(words)
    (cell,) = load_cells(words["results"])
    folder = ResultsFolder(words["results"])
    assert not folder.picture(cell.spec.name).exists()
    stray = folder.undrawn("a-cell-that-was-never-written")
    stray.write_bytes(b"")
    outcome, heard = ran(words)
    assert outcome.computed == 1
    assert not [event for event in heard if isinstance(event, Noted) and "picture" in event.text]
    ran(words | {"results": tmp_path / "undisturbed"})
    assert files(words["results"]) == files(tmp_path / "undisturbed")


def test_a_picture_that_cannot_be_drawn_is_told_and_its_cell_is_as_good(words, monkeypatch):
    def broken(*_: object, **__: object) -> bytes:
        raise ValueError("no such font")

    monkeypatch.setattr(figures, "cell_picture", broken)
    outcome, heard = ran(words)
    assert not outcome.failed
    said = [event.text for event in heard if isinstance(event, Noted) and "no such" in event.text]
    assert said == [
        f"no picture of {one.spec.name}: ValueError: no such font" for one in outcome.records
    ]
    assert not list((words["results"] / "pictures").iterdir())


def test_a_cell_that_fails_anew_keeps_nothing_of_the_one_before(words, monkeypatch):
    ran(words)
    results = ResultsFolder(words["results"])
    assert files(results.root)

    def broken(*_: object, **__: object) -> None:
        raise ValueError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr(Protocol, "evaluate", broken)
        outcome, _ = ran(words | {"overwrite": "all"})
    names = {one.spec.name for one in outcome.failed}
    assert len(names) == 2
    assert not files(results.root)
    assert not list(results.histograms.iterdir())
    assert {one.stem for one in (results.root / "failures").iterdir()} == names
    ran(words)
    assert set(files(results.root)) == {f"{name}.png" for name in names}
    assert not list((results.root / "failures").iterdir())
