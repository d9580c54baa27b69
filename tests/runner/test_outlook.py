"""How far a run is that tunes: cells of other parameters are not taken for its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_cells import made_cell

from uad_bench.cells import CellRecord, FitRecord
from uad_bench.method import FitReport, Method, MethodInfo, tunable
from uad_bench.method import Params as BaseParams
from uad_bench.runner.events import CellWritten, JobEnded, Overall
from uad_bench.runner.outlook import Outlook
from uad_bench.runner.plan.job import Evaluate, Train, Tune
from uad_bench.runner.plan.known import KnownCells
from uad_bench.runner.plan.plan import PlannedCell

DATASETS = ("mslub", "wmh")


class Fade(Method):
    """A method with a parameter that is tuned."""

    class Params(BaseParams):
        gain: float = tunable(0.5, 0.25, 1.0)
        steps: int = 8

    info = MethodInfo("fade", "Fade")
    objective = ("l1",)

    def fit(self, train: Any, validation: Any, context: Any) -> FitReport:
        return FitReport()

    def score(self, slices: Any) -> Any:
        return np.zeros_like(slices.image)


def planned(**params: Any) -> list[PlannedCell]:
    return [
        PlannedCell(
            method="fade",
            params=params,
            seed=0,
            dataset=dataset,
            protocol="strict",
            postprocessing="none",
            code="c",
        )
        for dataset in DATASETS
    ]


def cell(dataset: str, gain: float, trials: int, **changes: Any) -> CellRecord:
    studies = ("fade-1",) if trials else ()
    fit = FitRecord(detector="d", trials=trials, studies=studies)
    params = {"gain": gain, "steps": 8}
    return made_cell("fade", dataset, params=params, **({"fit": fit, "code": "c"} | changes))


def outlook(records: list[CellRecord]) -> tuple[Outlook, list[Overall], Tune, list[Evaluate]]:
    data: Any = None
    tune = Tune(Fade, Fade.Params(), data)
    train = Train(Fade, Fade.Params(), 0, data, tune, DATASETS)
    jobs = [Evaluate(data, train, label) for label in DATASETS]
    plan: Any = SimpleNamespace(
        config=SimpleNamespace(overwrite="missing"),
        cells=lambda: planned(steps=8),
        jobs=lambda: (tune, train, *jobs),
    )
    told: list[Overall] = []
    return Outlook(plan, records, told.append), told, tune, jobs


def test_a_cell_that_was_not_tuned_is_none_of_a_run_that_tunes():
    (wanted, _), (fixed, _) = planned(steps=8), planned(steps=8, gain=0.5)
    untuned, tuned = cell("mslub", 0.5, trials=0), cell("mslub", 0.5, trials=3)
    assert not KnownCells([untuned]).is_done(wanted)
    assert KnownCells([untuned]).is_done(fixed)
    assert KnownCells([tuned]).is_done(wanted)
    failed = cell("mslub", 0.5, trials=0, fit=None, reason="no memory")
    assert KnownCells([failed]).find(wanted) == failed, "it is known to have failed"
    assert KnownCells([untuned]).of(wanted), "a cell of an older protocol is refused all the same"
    studies: Any = [SimpleNamespace(params={"gain": 1.0}), SimpleNamespace(params={"gain": 0.5})]
    assert KnownCells([untuned], studies).is_done(wanted), (
        "the run keeps it: the choice is the same"
    )
    assert not KnownCells([untuned], studies[:1]).is_done(wanted)


def test_of_an_ensemble_each_member_is_tuned():
    (wanted, _), fit = planned(), FitRecord(detector="d")
    params = {"spa": {"beta": 1.0, "steps": 2}, "vae": {"beta": 2.0, "steps": 2}}
    record = made_cell("fade", params=params, fit=fit, code="c")
    studies: Any = [SimpleNamespace(params={"beta": value}) for value in (1.0, 2.0)]
    assert not KnownCells([record]).is_done(wanted)
    assert not KnownCells([record], studies[:1]).is_done(wanted)
    assert KnownCells([record], studies).is_done(wanted)
    tuned = record.model_copy(update={"fit": fit.model_copy(update={"studies": ("a", "b")})})
    assert KnownCells([tuned]).is_done(wanted)


@pytest.mark.parametrize("trials", [0, 3])
def test_a_run_that_tunes_counts_to_as_many_cells_as_it_has(trials: int):
    """Those of a run without tuning, or with fewer trials, made it count to 4 of 2."""
    found, told, tune, jobs = outlook([cell(name, 0.5, trials) for name in DATASETS])
    found(JobEnded(tune.key, 5.0))
    found.choose(tune, Fade.Params(gain=1.0))
    assert (told[-1].done, told[-1].total, told[-1].left_s) == (0, 2, None)
    found(JobEnded(jobs[0].train.key, 10.0))
    for number, job in enumerate(jobs, 1):
        found(CellWritten(cell(job.label, 1.0, trials=6)))
        found(JobEnded(job.key, 1.0))
        assert (told[-1].done, told[-1].total) == (number, 2)
    assert told[-1].left_s == 0.0


def test_cells_of_the_parameters_that_were_chosen_are_done():
    found, told, tune, jobs = outlook([cell("mslub", 0.5, 3), cell("wmh", 1.0, 3)])
    found(JobEnded(tune.key, 5.0))
    found.choose(tune, Fade.Params(gain=0.5))
    assert (told[-1].done, told[-1].total) == (1, 2)
    assert set(found._left) == {jobs[0].train.key, jobs[1].key}
