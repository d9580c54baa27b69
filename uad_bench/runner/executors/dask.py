"""Jobs on workers of Dask: local processes, or those of a cluster.

Each job goes to one worker by its address, and each worker has one job at a time. So this process
knows whose worker was lost, and a job that kills its workers is seen to do so.
"""

from __future__ import annotations

import pickle
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic

from uad_bench.errors import UadBenchError
from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import (
    CellWritten,
    Ended,
    Event,
    JobFailed,
    Listener,
    Noted,
    Progressed,
    Started,
)
from uad_bench.runner.executors.agenda import Agenda
from uad_bench.runner.executors.contract import Divide, Done, Failure, J, Perform, undivided
from uad_bench.runner.executors.versions import VERSIONED, version_fault
from uad_bench.runner.executors.worker import (
    Answer,
    DoJob,
    MakeReady,
    NotReady,
    Raised,
    Ready,
    Result,
    answer,
    forget,
    shared_files,
)

if TYPE_CHECKING:
    from distributed import Client, Future

GPU = "GPU"
"""The resource of Dask that a worker has where it may use a GPU."""

MOST_DEATHS = 3
"""Workers that a job may take with it."""

_LOOK_S = 1.0
"""How often this process looks which workers there are."""

_REFILL_S = 60.0
"""How often a pool is asked to replace lost workers."""

_ANSWER_S = 300.0
"""How long the scheduler may take to answer a question that takes it no time."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers that a run may use.

    Attributes:
        client: the connection to their scheduler.
        name: what messages call it, such as ``slurm.yaml``.
        patience_s: how long to wait for a worker where there is none.
        hint: what to do where none comes.
        refill: asks for new workers in the place of those that were lost for good.
        faults: why workers could not be asked for; grows.
        wanted: how many workers were asked for that can share a job, whether or not they are there.
        all_ended: says whether all that was submitted has ended, so that no worker can come.
        none_submitted: says whether workers were asked for, and none of these requests was taken.
    """

    client: Client
    name: str
    patience_s: float
    hint: str
    refill: Callable[[], object] = lambda: None
    faults: Sequence[str] = ()
    wanted: int = 0
    all_ended: Callable[[], bool] = lambda: False
    none_submitted: Callable[[], bool] = lambda: False


class DaskExecutor:
    """Runs jobs on the workers of a pool."""

    def __init__(
        self,
        pool: Pool,
        *,
        device: str,
        folders: tuple[Path, ...],
        plugins: tuple[Path, ...],
        divide: Divide[Any] = undivided,
    ) -> None:
        """Use a pool.

        Args:
            pool: the workers.
            device: the torch device of jobs that use it; a GPU is one of a worker's own.
            folders: what the workers share with this process.
            plugins: files and folders of plugins, which workers load.
            divide: makes parts of a job that several workers share.
        """
        self._pool, self._device, self._folders = pool, device, folders
        self._plugins, self._divide = plugins, divide

    def run(
        self, jobs: Iterable[J], perform: Perform[J], tell: Listener
    ) -> Iterator[tuple[J, object]]:
        """Run every job; see `Executor.run`.

        Raises:
            UadBenchError: no worker comes or none is fit, or the scheduler is gone.
        """
        with shared_files(self._folders) as files:
            request = MakeReady(Path.cwd(), files, self._plugins, pickle.dumps(perform))
            crew = _Crew(
                self._pool, self._device, request, Agenda(jobs), tell=tell, divide=self._divide
            )
            try:
                yield from crew.work()
            finally:
                crew.leave()


@dataclass(slots=True)
class _Member:
    """A worker: what it may use, what it is doing, and whose results it was sent."""

    address: str
    has_gpu: bool
    is_ready: bool = False
    task: _Task | None = None
    knows: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Task:
    """What a worker was asked for: a job, or to get ready."""

    name: str
    member: _Member
    job: Any
    watch: Stopwatch
    future: Future
    cells: list[CellWritten] = field(default_factory=list)


_News = tuple[str, bool, bytes]
"""The name of a task, whether it is the answer, and what was said, pickled."""


class _Crew(Generic[J]):
    """The workers of one run, and who does what."""

    def __init__(
        self,
        pool: Pool,
        device: str,
        request: MakeReady,
        agenda: Agenda[J],
        *,
        tell: Listener,
        divide: Divide[J],
    ) -> None:
        self._pool, self._device, self._request = pool, device, request
        self._agenda, self._tell, self._divide = agenda, tell, divide
        self._topic = f"uad-bench-{secrets.token_hex(8)}"
        self._members: dict[str, _Member] = {}
        self._unfit: dict[str, str] = {}
        self._tasks: dict[str, _Task] = {}
        self._results: dict[str, bytes] = {}
        self._deaths: Counter[str] = Counter()
        self._cells: deque[CellWritten] = deque()
        self._lost_at_start = self._faults_told = 0
        self._has_begun = self._was_seen = self._waits = False
        self._news: SimpleQueue[_News | Future] = SimpleQueue()
        self._busy = self._refilled = time.monotonic()
        pool.client.subscribe_topic(self._topic, self._hear)

    def work(self) -> Iterator[tuple[J, object]]:
        """Have every job done.

        Cells are told once their worker has its next job: who records them, such as MLflow, may
        take a while.
        """
        looked = -_LOOK_S
        while not self._agenda.is_done:
            if time.monotonic() - looked >= _LOOK_S:
                looked = time.monotonic()
                yield from self._look()
            yield from self._hand_out()
            self._lose_patience()
            if self._cells and self._news.empty():
                self._tell(self._cells.popleft())
                continue
            for news in self._wait():
                yield from self._heed(news)
        while self._cells:
            self._tell(self._cells.popleft())

    def leave(self) -> None:
        """Let the workers go: what they are doing ends with its next step."""
        with suppress(Exception):  # the scheduler may be gone
            for task in self._tasks.values():
                task.future.cancel()
            self._pool.client.unsubscribe_topic(self._topic)

    def _hear(self, event: tuple[float, _News]) -> None:
        """Take what a worker says; runs in the client's own thread."""
        self._news.put(event[1])

    def _wait(self) -> Iterator[_News | Future]:
        """Yield what there is to hear, after a moment at most."""
        with suppress(Empty):
            yield self._news.get(timeout=_LOOK_S)
            while True:
                yield self._news.get_nowait()

    def _look(self) -> Iterator[tuple[J, object]]:
        """Greet the workers that came, and give the jobs of those that are gone to others."""
        there = self._there()
        gone = [member for address, member in self._members.items() if address not in there]
        for member in gone:
            yield from self._lose(member)
        came = {
            address: facts
            for address, facts in there.items()
            if facts["status"] == "running" and address not in {*self._members, *self._unfit}
        }
        if came:
            self._was_seen = True
            self._greet(came)
        waits = not self._members and not self._has_begun and not self._unfit
        if waits and not self._waits:
            self._tell(Started(f"wait for a worker of {self._pool.name}"))
        self._waits = waits
        self._tell_faults()
        if time.monotonic() - self._refilled > _REFILL_S:
            self._refilled = time.monotonic()
            self._pool.refill()

    def _tell_faults(self) -> None:
        """Say why some workers could not be asked for, where others can come."""
        new = list(self._pool.faults[self._faults_told :])
        if new and not self._pool.none_submitted():
            self._faults_told += len(new)
            for fault in dict.fromkeys(new):
                self._tell(Noted(f"{self._pool.name}: a job could not be submitted: {fault}"))

    def _there(self) -> Mapping[str, Mapping[str, Any]]:
        """What the scheduler knows of its workers, by address."""
        client = self._pool.client
        try:
            if client.status != "running":
                raise ConnectionError
            asked = client.scheduler.identity
            found = client.sync(asked, n_workers=-1, callback_timeout=_ANSWER_S)
        except OSError:
            raise UadBenchError(
                f"{self._pool.name}: the scheduler is gone; finished cells stay, and the same "
                "command goes on"
            ) from None
        workers: Mapping[str, Mapping[str, Any]] = found["workers"]
        return workers

    def _greet(self, came: Mapping[str, Mapping[str, Any]]) -> None:
        """Ask workers to get ready, and leave out those of other versions."""
        client = self._pool.client
        versions = client.get_versions(packages=list(VERSIONED))
        here = versions["client"]["packages"]
        if fault := version_fault(here, versions["scheduler"]["packages"]):
            raise UadBenchError(f"the scheduler {client.scheduler.address} {fault}")
        for address, facts in came.items():
            member = _Member(address, facts["resources"].get(GPU, 0) >= 1)
            if address not in versions["workers"]:
                continue  # it is gone already
            if fault := version_fault(here, versions["workers"][address]["packages"]):
                self._refuse(address, f"worker {address} {fault}")
                continue
            self._members[address] = member
            self._make_ready(member)

    def _make_ready(self, member: _Member) -> None:
        device = self._device if member.has_gpu and self._is_on_gpu else ""
        member.is_ready = False
        member.knows.clear()
        self._ask(member, replace(self._request, device=device))

    def _refuse(self, address: str, fault: str) -> None:
        """Leave a worker out; before the first job, the run stops for it."""
        self._members.pop(address, None)
        self._unfit[address] = fault
        if self._has_begun:
            self._tell(Noted(f"{fault}; it is left out"))

    @property
    def _is_on_gpu(self) -> bool:
        return self._device.startswith("cuda")

    def _hand_out(self) -> Iterator[tuple[J, object]]:
        """Give a job to every worker that has none, as far as there are jobs."""
        if not self._has_begun:
            if self._tasks or not (self._members or self._unfit):
                return
            if self._unfit:
                raise UadBenchError("; ".join(self._unfit.values()))
            self._has_begun = True
        idle = [one for one in self._members.values() if one.is_ready and one.task is None]
        for member in sorted(idle, key=lambda one: one.has_gpu):
            while (job := self._job_for(member)) is not None:
                needed = self._agenda.needed(job)
                if isinstance(needed, Failure):
                    if self._agenda.is_divided(job):
                        self._tell(JobFailed(job.name, needed.reason))
                    self._agenda.finish(job, needed)
                    yield job, needed
                elif parts := self._parts(job, needed):
                    self._agenda.divide(job, parts)
                else:
                    self._give(member, job)
                    break

    def _job_for(self, member: _Member) -> J | None:
        """The next job that a worker may do: where the run is on GPUs, those are for trainings."""
        if not self._is_on_gpu:
            return self._agenda.take()
        if not member.has_gpu:
            return self._agenda.take(lambda job: not job.uses_device)
        return self._agenda.take(lambda job: job.uses_device) or self._agenda.take()

    def _parts(self, job: J, needed: Done) -> tuple[J, ...]:
        """What a job is to be divided into, for the workers that can share it."""
        if self._agenda.is_divided(job) or self._agenda.is_part(job):
            return ()
        fit = sum(one.has_gpu or not self._is_on_gpu for one in self._members.values())
        return self._divide(job, needed, max(fit, self._pool.wanted))

    def _give(self, member: _Member, job: J) -> None:
        needs = self._agenda.needs(job)
        unknown = {key: self._results[key] for key in needs if key not in member.knows}
        member.knows.update(needs)
        self._ask(member, DoJob(pickle.dumps(job), needs, unknown), job)

    def _ask(self, member: _Member, request: MakeReady | DoJob, job: J | None = None) -> None:
        name = f"{self._topic}-{secrets.token_hex(8)}"
        future = self._pool.client.submit(
            answer,
            self._topic,
            name,
            pickle.dumps(request),
            key=name,
            workers=[member.address],
            allow_other_workers=False,
            pure=False,
        )
        member.task = self._tasks[name] = _Task(name, member, job, Stopwatch("cpu"), future)
        future.add_done_callback(self._news.put)

    def _heed(self, news: _News | Future) -> Iterator[tuple[J, object]]:
        """Pass on what a worker tells, or take its answer."""
        if not isinstance(news, tuple | list):
            self._refuse_error(news)
            return
        name, is_answer, said = news
        if (task := self._tasks.get(name)) is None:
            return  # of a worker that was given up
        member, job = task.member, task.job
        if not is_answer:
            event = pickle.loads(said)
            if isinstance(event, CellWritten):
                task.cells.append(event)
            elif not self._is_of_part(event, job):
                self._tell(_by(event, member.address))
            return
        self._end(task)
        reply: Answer = pickle.loads(said)
        match reply:
            case Ready():
                member.is_ready, self._lost_at_start = True, 0
            case NotReady():
                self._agenda.give_back(job)
                self._make_ready(member)
            case Raised(error) if job is None:
                self._refuse(member.address, str(error))
            case Raised(error):
                raise error
            case Result(value):
                self._results[job.key] = value
                result = pickle.loads(value)
                self._agenda.finish(job, result)
                self._pool.client.run_on_scheduler(forget, self._topic)
                yield job, result

    def _is_of_part(self, event: Event, job: J) -> bool:
        """Whether it is a part that failed: the whole will be told."""
        return isinstance(event, JobFailed) and self._agenda.is_part(job)

    def _refuse_error(self, future: Future) -> None:
        """Stop where a task came to an error that is not its own, such as a module that lacks."""
        from distributed import KilledWorker

        if future.key not in self._tasks or future.status != "error":
            return
        error = future.exception()
        if not isinstance(error, KilledWorker):  # the next look sees who is gone
            text = next(iter(str(error).splitlines()), "")
            raise UadBenchError(f"{self._pool.name}: {type(error).__name__}: {text}")

    def _end(self, task: _Task) -> None:
        del self._tasks[task.name]
        self._cells += task.cells
        task.member.task = None
        self._busy = time.monotonic()
        if task.job is not None:
            self._tell(Ended(task.member.address))

    def _lose(self, member: _Member) -> Iterator[tuple[J, object]]:
        """Give the job of a worker that is gone to another, unless it took too many with it."""
        del self._members[member.address]
        if (task := member.task) is None:
            return
        self._end(task)
        task.future.cancel()
        if (job := task.job) is None:
            self._lost_at_start += 1
            if self._lost_at_start >= MOST_DEATHS:
                raise UadBenchError(
                    f"{self._pool.name}: {MOST_DEATHS} workers ended while they got ready: "
                    f"{self._pool.hint}"
                )
            return
        self._deaths[job.key] += 1
        if self._deaths[job.key] < MOST_DEATHS:
            self._tell(Noted(f"the worker of `{job.name}` is gone: another one does it"))
            self._agenda.give_back(job)
            return
        reason = (
            f"{MOST_DEATHS} workers ended while they did it, most likely for want of memory or "
            "at the end of their time"
        )
        if job.is_vital:
            raise UadBenchError(f"{job.name}: {reason}")
        here = task.watch.read().model_copy(update={"device": self._device})
        failure = Failure(reason, f"{reason}\n", here)
        if not self._agenda.is_part(job):
            self._tell(JobFailed(job.name, reason))
        self._agenda.finish(job, failure)
        yield job, failure

    def _lose_patience(self) -> None:
        """Stop where no worker came that could do what is left."""
        if self._tasks:
            self._busy = time.monotonic()
        elif self._pool.faults and not self._members and self._pool.none_submitted():
            raise UadBenchError(
                f"{self._pool.name}: no job could be submitted: {self._pool.faults[-1]}"
            )
        elif not self._was_seen and self._pool.all_ended():
            raise UadBenchError(
                f"{self._pool.name}: every job ended before a worker of it came: {self._pool.hint}"
            )
        elif time.monotonic() - self._busy > self._pool.patience_s:
            kind = "worker with a GPU" if self._is_on_gpu and self._members else "worker"
            raise UadBenchError(
                f"{self._pool.name}: no {kind} came within {self._pool.patience_s / 60:g} min: "
                f"{self._pool.hint}"
            )


def _by(event: Event, worker: str) -> Event:
    """An event with the worker that it is from, where progress needs that."""
    return replace(event, worker=worker) if isinstance(event, Started | Progressed) else event
