"""What is left to do of a plan's jobs, and what came of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic

from uad_bench.runner.executors.contract import Done, Failure, J


class Agenda(Generic[J]):
    """The jobs of a plan as they get done."""

    def __init__(self, jobs: Iterable[J]) -> None:
        """Begin with nothing done.

        Raises:
            ValueError: a job needs one that is not in the plan.
        """
        self._waiting = {job.key: job for job in jobs}
        self._results: dict[str, object] = {}
        self._parts: dict[str, tuple[str, ...]] = {}
        self._wholes: dict[str, str] = {}
        self._open = len(self._waiting)
        for job in self._waiting.values():
            if any(need.key not in self._waiting for need in job.needs):
                raise ValueError(f"{job.name} needs a job that is not in the plan")

    @property
    def is_done(self) -> bool:
        """Whether every job came to something."""
        return self._open == 0

    def take(self, fits: Callable[[J], bool] = lambda _: True) -> J | None:
        """Take the first job that waits, fits, and has all that it needs; ``None``: there is none.

        Where a job cannot be run after all, :meth:`give_back` it.
        """
        for job in self._waiting.values():
            if all(key in self._results for key in self.needs(job)) and fits(job):
                return self._waiting.pop(job.key)
        return None

    def give_back(self, job: J) -> None:
        """Let a job that was taken wait again, before all others."""
        self._waiting = {job.key: job, **self._waiting}

    def divide(self, job: J, parts: Sequence[J]) -> None:
        """Let a job that was taken wait for its parts, which are the first that are done now."""
        self._parts[job.key] = tuple(part.key for part in parts)
        self._wholes |= {part.key: job.key for part in parts}
        self._waiting = {**{part.key: part for part in parts}, job.key: job, **self._waiting}
        self._open += len(parts)

    def is_divided(self, job: J) -> bool:
        """Whether a job waited for its parts."""
        return job.key in self._parts

    def is_part(self, job: J) -> bool:
        """Whether a job is a part of another."""
        return job.key in self._wholes

    def needs(self, job: J) -> tuple[str, ...]:
        """The keys of the jobs that must be done before: what it needs, then its parts."""
        return (*(need.key for need in job.needs), *self._parts.get(job.key, ()))

    def needed(self, job: J) -> Done | Failure:
        """What the jobs came to that a job needs; the first failure, where one failed.

        A part fails with the first part that failed: there is no whole any more.
        """
        found = {key: self._results[key] for key in self.needs(job)}
        beside = self._parts.get(self._wholes.get(job.key, ""), ())
        others = (self._results[key] for key in beside if key in self._results)
        failures = (one for one in (*found.values(), *others) if isinstance(one, Failure))
        return next(failures, Done(found))

    def finish(self, job: J, result: object) -> None:
        """Keep what a job came to."""
        self._results[job.key] = result
        self._open -= 1
