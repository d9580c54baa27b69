"""How far a run is, and how long the rest should take: from what its jobs took so far."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from uad_bench.cells import CellRecord, CellSpec
from uad_bench.method import Method, Params, members_of
from uad_bench.runner.events import CellWritten, Event, JobEnded, Listener, Overall
from uad_bench.runner.plan.job import Evaluate, Job, Train, Tune
from uad_bench.runner.plan.known import KnownCells
from uad_bench.runner.plan.plan import Plan, PlannedCell
from uad_bench.study_record import StudyRecord


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that has something to do.

    Attributes:
        kind: its class.
        method: the name of its method.
        dataset: the one that it tests on; empty where it tests on none.
        is_network: whether its method is or has a network: others take far less time.
    """

    kind: str
    method: str
    dataset: str = ""
    is_network: bool = True


class Outlook:
    """Listens to the jobs of a run, and tells after each how far the run is.

    The time of a job that is still to come is that of its method and of its dataset so far, as far
    as they are known; else the mean of the jobs of its kind, of networks or of other methods. Of a
    kind of which none has ended nothing is known, and then no time is told. Methods that are no
    networks count nothing as long as only networks are known.

    Before a method is tuned, a cell counts as done that has any tuned parameters; once it is,
    :meth:`choose` counts again.

    Args:
        plan: the run.
        records: the cells in the results folder at its beginning.
        tell: told how far the run is.
        studies: the studies in the results folder.
    """

    def __init__(
        self,
        plan: Plan,
        records: Iterable[CellRecord],
        tell: Listener,
        studies: Iterable[StudyRecord] = (),
    ) -> None:
        there = () if plan.config.overwrite == "all" else tuple(records)
        known = KnownCells(there, studies)
        self._finished = {(one.spec.name, one.code) for one in there if one.state == "done"}
        cells = tuple(plan.cells())
        left = [cell for cell in cells if not known.is_done(cell)]
        self._total, self._done = len(cells), len(cells) - len(left)
        self._open = Counter((one.method, one.supervised_on) for one in left)
        self._jobs = plan.jobs()
        tunings = [job for job in self._jobs if isinstance(job, Tune)]
        tuned = {(job.method.info.name, job.supervised_on) for job in tunings}
        self._cells = [cell for cell in cells if (cell.method, cell.supervised_on) in tuned]
        self._left = _open_jobs(self._jobs, left)
        self._tell = tell
        self._since: float | None = None
        self._parts_s: defaultdict[str, float] = defaultdict(float)
        self._took: list[tuple[OpenJob, float]] = []

    def __call__(self, event: Event) -> None:
        """Take note of a job that ended, or of a cell that was written."""
        match event:
            case JobEnded(key, seconds, is_part) if key in self._left:
                if self._since is None:
                    self._since = time.monotonic() - seconds
                self._parts_s[key] += seconds
                if is_part:
                    return
                self._took.append((self._left.pop(key), self._parts_s.pop(key)))
            case CellWritten():
                self._done += 1
            case _:
                return
        self._tell(Overall(self._done, self._total, self._left_s()))

    def choose(self, tune: Tune, params: Params) -> None:
        """Take note of the parameters that a method is trained with."""
        own, values = (tune.method.info.name, tune.supervised_on), params.model_dump(mode="json")
        left = [
            cell
            for cell in self._cells
            if (cell.method, cell.supervised_on) == own
            and (_tuned(cell, values).name, cell.code) not in self._finished
        ]
        self._done += self._open[own] - len(left)
        self._open[own] = len(left)
        jobs = [job for job in self._jobs if isinstance(job, Evaluate) and job.train.tune == tune]
        for job in jobs:
            self._left.pop(job.key, None)
            self._left.pop(job.train.key, None)
        self._left |= _open_jobs(jobs, left)
        self._left.pop(tune.key, None)
        self._tell(Overall(self._done, self._total, self._left_s()))

    def leave_out(self, failed: Job) -> None:
        """Take a job that failed from what is left, and all jobs that need it: none is run."""
        lost = {failed.key}
        for job in self._jobs:  # each comes after what it needs
            if any(need.key in lost for need in job.needs):
                lost.add(job.key)
        if gone := lost & self._left.keys():
            for key in gone:
                del self._left[key]
                self._parts_s.pop(key, None)
            self._tell(Overall(self._done, self._total, self._left_s()))

    def _left_s(self) -> float | None:
        times = [self._expected(one) for one in self._left.values()]
        known = [time for time in times if time is not None]
        return sum(known) / self._abreast() if len(known) == len(times) else None

    def _abreast(self) -> float:
        """How many jobs were done at a time so far: one, or more where there are workers."""
        spent = sum(seconds for _, seconds in self._took)
        passed = 0.0 if self._since is None else time.monotonic() - self._since
        return max(1.0, spent / passed) if passed > 0 else 1.0

    def _expected(self, job: OpenJob) -> float | None:
        """The seconds of a job."""
        same = [(one, took) for one, took in self._took if one.kind == job.kind]
        if not same:
            return None
        of_method = [took for one, took in same if one.method == job.method]
        of_dataset = [(one, took) for one, took in same if one.dataset == job.dataset]
        alike = [took for one, took in of_dataset if one.is_network == job.is_network]
        usual = [took for one, took in same if one.is_network == job.is_network]
        if of_method and alike and (mean := fmean(usual)) > 0:
            return fmean(of_method) * fmean(alike) / mean
        if of_method or alike or usual:
            return fmean(of_method or alike or usual)
        return 0.0 if not job.is_network else fmean(took for _, took in same)


def _tuned(cell: PlannedCell, params: Mapping[str, object]) -> CellSpec:
    """A planned cell with the parameters that tuning chose."""
    return CellSpec(**cell.model_dump(exclude={"code", "params"}), params=dict(params))


def _open_jobs(jobs: Sequence[Job], left: Iterable[PlannedCell]) -> dict[str, OpenJob]:
    """The jobs that have something to do, by key.

    Args:
        jobs: all jobs of a run, or some.
        left: the cells that are not done.
    """
    wanted = {(one.method, one.supervised_on, one.seed, one.dataset) for one in left}
    found: dict[str, OpenJob] = {}
    for job in jobs:
        if not isinstance(job, Evaluate):
            continue
        train = job.train
        name, on = train.method.info.name, train.supervised_on
        if (name, on, train.seed, job.label) in wanted:
            is_network = _is_network(train.method)
            needed: tuple[Tune | Train | None, ...] = (train.tune, train)
            for one in filter(None, needed):
                found[one.key] = OpenJob(type(one).__name__, name, is_network=is_network)
            found[job.key] = OpenJob("Evaluate", name, job.label, is_network)
    return found


def _is_network(method: type[Method]) -> bool:
    """Whether a method is trained for as long as its parameters say, or one of its members is."""
    return any(one.budget for one in (method, *members_of(method)))
