"""Jobs in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from uad_bench.runner.events import Listener
from uad_bench.runner.executors.agenda import Agenda
from uad_bench.runner.executors.contract import Failure, J, Perform, Slot


class LocalExecutor:
    """Runs one job after the other in this process, in the order given where it can."""

    def run(
        self, jobs: Iterable[J], perform: Perform[J], tell: Listener
    ) -> Iterator[tuple[J, object]]:
        """Run every job; see `Executor.run`."""
        agenda, slot = Agenda(jobs), Slot(tell)
        while (job := agenda.take()) is not None:
            needed = agenda.needed(job)
            result = needed if isinstance(needed, Failure) else perform(job, needed, slot)
            agenda.finish(job, result)
            yield job, result
