"""What is left to do of a plan's jobs, and what came of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
            if all(need.key in self._results for need in job.needs) and fits(job):
                return self._waiting.pop(job.key)
        return None

    def give_back(self, job: J) -> None:
        """Let a job that was taken wait again, before all others."""
        self._waiting = {job.key: job, **self._waiting}

    def needed(self, job: J) -> Done | Failure:
        """What the jobs came to that a job needs; the first failure, where one failed."""
        found = {need.key: self._results[need.key] for need in job.needs}
        failures = (result for result in found.values() if isinstance(result, Failure))
        return next(failures, Done(found))

    def finish(self, job: J, result: object) -> None:
        """Keep what a job came to."""
        self._results[job.key] = result
        self._open -= 1
