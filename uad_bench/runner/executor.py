"""Executors: they run jobs whose dependencies are done, and hand out what came of each."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Protocol, TypeVar

from pydantic import BaseModel

from uad_bench.cells import Environment
from uad_bench.errors import UadBenchError
from uad_bench.runner.failures import failure_reason

T = TypeVar("T")


class Job(Protocol):
    """Something to do once; a frozen value that can be pickled."""

    @property
    def name(self) -> str:
        """What a person calls it, such as ``train spa, seed 0``."""

    @property
    def key(self) -> str:
        """What identifies it among the jobs of one plan."""

    @property
    def needs(self) -> tuple[Job, ...]:
        """The jobs that must be done before."""


J = TypeVar("J", bound=Job)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job came to nothing, or a job that it needs.

    Attributes:
        reason: in one line.
        trace: the traceback.
        environment: where and how long it ran.
    """

    reason: str
    trace: str
    environment: Environment

    @classmethod
    def of(cls, error: Exception, environment: Environment) -> Failure:
        """Return what an error comes to.

        Raises:
            UadBenchError: it is the run that cannot go on, not the method: the disk is full.
        """
        return cls(failure_reason(error), "".join(traceback.format_exception(error)), environment)


@dataclass(frozen=True, slots=True)
class Done:
    """What the jobs came to that a job needs."""

    results: Mapping[str, object]

    def of(self, job: Job, kind: type[T]) -> T:
        """Return the result of ``job``, which is of ``kind``."""
        result = self.results[job.key]
        if not isinstance(result, kind):
            raise TypeError(f"{job.name} came to {result!r}, and {kind.__name__} is needed")
        return result


Perform = Callable[[J, Done], object]
"""Runs one job, given what the jobs came to that it needs. Returns its result, or a `Failure`."""


class Executor(Protocol):
    """Runs jobs: in this process, or elsewhere."""

    def run(self, jobs: Iterable[J], perform: Perform[J]) -> Iterator[tuple[J, object]]:
        """Run every job once all that it needs is done and handed out.

        A job that needs one that failed is not run: it comes to the same `Failure`. What
        ``perform`` raises stops everything.

        Yields:
            Each job with its result or `Failure`.
        """


class LocalExecutor:
    """Runs one job after the other in this process, in the order given where it can."""

    def run(self, jobs: Iterable[J], perform: Perform[J]) -> Iterator[tuple[J, object]]:
        """Run every job; see `Executor.run`."""
        waiting, results = list(jobs), dict[str, object]()
        while waiting:
            job = waiting.pop(_first_ready(waiting, results))
            needed = {need.key: results[need.key] for need in job.needs}
            failed = [result for result in needed.values() if isinstance(result, Failure)]
            results[job.key] = failed[0] if failed else perform(job, Done(needed))
            yield job, results[job.key]


def _first_ready(waiting: list[J], results: Mapping[str, object]) -> int:
    for place, job in enumerate(waiting):
        if all(need.key in results for need in job.needs):
            return place
    raise ValueError(f"{waiting[0].name} needs a job that is not in the plan")


def refuse_unpicklable(jobs: Iterable[Job]) -> None:
    """Refuse jobs that could not be sent to another process.

    Raises:
        UadBenchError: naming the first such job, which part of it, and why.
    """
    for job in jobs:
        if (found := _unpicklable(job)) is not None:
            thing, reason = found
            raise UadBenchError(
                f"{job.name}: its {thing or 'job'} cannot be pickled ({reason}): define the method "
                "at the top of a module or of a plugin file, and give its parameters plain values"
            )


def _unpicklable(value: object) -> tuple[str, str] | None:
    """Where in a value something cannot be pickled, such as ``params.kernel``, and why."""
    try:
        pickle.dumps(value)
    except Exception as error:
        for name, part in _parts(value):
            if (found := _unpicklable(part)) is not None:
                return ".".join(filter(None, (name, found[0]))), found[1]
        return "", next(iter(str(error).splitlines()), type(error).__name__)
    return None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """What a value is made of, by name."""
    if isinstance(value, BaseModel):
        yield from value
    elif isinstance(value, tuple):
        yield from (("", part) for part in value)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((one.name, getattr(value, one.name)) for one in fields(value))
