"""Jobs, what runs them and who listens: nothing runs early, a failure stays where it belongs."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import ConfigDict

from uad_bench.cells import Environment
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, Method, MethodInfo, Params, Slices
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.runner.config import load_config
from uad_bench.runner.events import Event, Noted, Started, told
from uad_bench.runner.executors.contract import Done, Failure, Slot, refuse_unpicklable
from uad_bench.runner.executors.local import LocalExecutor
from uad_bench.runner.plan.job import CheckData, Evaluate, FindFiles, Job, Prepare, Train, Tune
from uad_bench.runner.plan.make import make_plan
from uad_bench.runner.plan.plan import Plan
from uad_bench.system.disk import full_disk


@dataclass(frozen=True)
class Step:
    """A job that is only a name."""

    name: str
    needs: tuple[Step, ...] = ()
    is_vital: bool = False
    uses_device: bool = False

    @property
    def key(self) -> str:
        return self.name


def nobody(event: Event) -> None:
    """Hear it, and do nothing."""


def failure(reason: str) -> Failure:
    environment = Environment(
        versions={}, git_commit=None, device="cpu", started="", wall_s=0, peak_memory_mb=0
    )
    return Failure(reason, "", environment)


def test_a_job_runs_after_what_it_needs_and_is_given_its_results():
    first, other = Step("first"), Step("other")
    last = Step("last", (first, other))
    given: dict[str, object] = {}

    def perform(job: Step, done: Done, slot: Slot) -> str:
        given[job.name] = dict(done.results)
        return job.name.upper()

    ran = list(LocalExecutor().run([last, first, other], perform, nobody))
    assert ran == [(first, "FIRST"), (other, "OTHER"), (last, "LAST")]
    assert given == {"first": {}, "other": {}, "last": {"first": "FIRST", "other": "OTHER"}}


def test_a_failing_job_fails_what_depends_on_it_and_nothing_else():
    bad, good = Step("bad"), Step("good")
    after = Step("after", (bad,))
    later = Step("later", (good, after))
    ran: list[str] = []

    def perform(job: Step, done: Done, slot: Slot) -> object:
        ran.append(job.name)
        return failure("no such luck") if job is bad else "well"

    results = dict(LocalExecutor().run([bad, after, later, good], perform, nobody))
    assert ran == ["bad", "good"]
    assert results[good] == "well"
    assert results[bad] is results[after] is results[later]


def test_what_is_handed_out_is_seen_before_anything_that_depends_on_it_runs():
    """So that a run can refuse prepared data before anything is trained."""
    ran: list[str] = []

    def jobs() -> Iterator[tuple[Step, object]]:
        first = Step("first")
        return LocalExecutor().run(
            [first, Step("last", (first,))], lambda job, *_: ran.append(job.name), nobody
        )

    next(jobs())
    assert ran == ["first"]


class Toy(Method):
    """A method that a plan can hold."""

    info = MethodInfo("toy", "Toy")

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        return FitReport()

    def score(self, slices: Slices) -> object:
        return slices.image


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    given = {"methods": "vae,thresholding", "controls": "", "datasets": "wmh,mslub"}
    config = load_config(None, {**given, "seeds": "0,1", "results": folder / "results"})
    return make_plan(config, discover(PluginSources.gather(())))


def test_the_jobs_of_a_plan_go_to_another_process_and_come_back_equal(plan: Plan):
    jobs = plan.jobs()
    refuse_unpicklable(jobs)
    for job in jobs:
        assert pickle.loads(pickle.dumps(job)).key == job.key
    assert len({job.key for job in jobs}) == len(jobs)


def test_a_detector_is_evaluated_as_soon_as_it_is_trained(plan: Plan):
    kinds = [(type(job), getattr(job, "seed", None)) for job in plan.jobs()]
    evaluated = [(Evaluate, None)] * 2
    vae = [(Tune, None), (Train, 0), *evaluated, (Train, 1), *evaluated]
    data = [(FindFiles, None), *[(Prepare, None)] * 3, (CheckData, None)]
    assert kinds == [*data, *vae, (Train, 0), *evaluated]
    seen: set[str] = set()
    for job in plan.jobs():
        assert {need.key for need in job.needs} <= seen
        seen.add(job.key)


def test_a_job_that_cannot_be_pickled_is_refused_in_one_line(plan: Plan):
    class Local(Toy):
        """Nobody else can import it."""

    train = next(job for job in plan.jobs() if isinstance(job, Train))
    jobs: tuple[Job, ...] = (replace(train, method=Toy), replace(train, method=Local))
    with pytest.raises(UadBenchError, match=r"^train toy, seed 0: its method cannot be") as caught:
        refuse_unpicklable(jobs)
    assert "\n" not in str(caught.value)
    refuse_unpicklable(jobs[:1])


class OddParams(Params):
    """Parameters that no other process can be sent."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    kernel: Callable[[float], float]


def test_a_parameter_that_cannot_be_pickled_is_named(plan: Plan):
    train = next(job for job in plan.jobs() if isinstance(job, Train))
    odd = replace(train, params=OddParams(kernel=lambda value: value))
    for job in (odd, Evaluate(odd.data, odd, "mslub")):
        with pytest.raises(UadBenchError, match=r"its (train\.)?params\.kernel cannot be pickled"):
            refuse_unpicklable([job])


def test_a_listener_that_fails_hears_no_more_and_the_others_hear_everything():
    heard: list[Event] = []
    calls: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise ValueError("out of ink")

    tell = told((broken, heard.append))
    tell(Started("one"))
    tell(Started("two"))
    assert calls == [Started("one")]
    told_of = "broken stopped: ValueError: out of ink"
    assert heard == [Noted(told_of), Started("one"), Started("two")]


def test_a_listener_whose_disk_is_full_stops_the_run():
    def full(event: Event) -> None:
        raise full_disk(Path("a.png"))

    with pytest.raises(UadBenchError, match="disk is full"):
        told((full,))(Started("one"))
