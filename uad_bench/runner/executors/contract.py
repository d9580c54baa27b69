"""The contract of an executor: it runs jobs whose dependencies are done, and hands out results."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Protocol, TypeVar

from pydantic import BaseModel

from uad_bench.cells import Environment
from uad_bench.errors import UadBenchError
from uad_bench.runner.events import Listener
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

    @property
    def is_vital(self) -> bool:
        """Whether nothing can go on without it."""

    @property
    def uses_device(self) -> bool:
        """Whether it works on the device that the run is on, such as a GPU."""


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
            RunError: it is the run that cannot go on, not the method: the disk is full.
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

    def all_of(self, kind: type[T]) -> tuple[T, ...]:
        """Return the results of a kind, in order: those of a job's parts."""
        return tuple(result for result in self.results.values() if isinstance(result, kind))


@dataclass(frozen=True, slots=True)
class Slot:
    """What a job has where it runs.

    Attributes:
        tell: who hears of its steps.
        processes: how many processes it may start; ``None``: as many as the run was asked for.
    """

    tell: Listener
    processes: int | None = None


Perform = Callable[[J, Done, Slot], object]
"""Runs one job, given what the jobs came to that it needs, and what it has where it runs. Returns
its result, or a `Failure`."""


Divide = Callable[[J, Done, int], tuple[J, ...]]
"""Returns the parts of a job that so many workers share, given what the jobs came to that it needs;
nothing where it is one piece. A job that has parts is run after them, and given their results."""


def undivided(_: Job, __: Done, ___: int) -> tuple[Job, ...]:
    """Divide no job."""
    return ()


class Executor(Protocol):
    """Runs jobs: in this process, or elsewhere."""

    def run(
        self, jobs: Iterable[J], perform: Perform[J], tell: Listener
    ) -> Iterator[tuple[J, object]]:
        """Run every job once all that it needs is done and handed out.

        A job that needs one that failed is not run: it comes to the same `Failure`. What
        ``perform`` raises stops everything.

        Args:
            jobs: what to do.
            perform: does one of them.
            tell: hears, in the calling thread, of every step.

        Yields:
            Each job with its result or `Failure`.
        """


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
