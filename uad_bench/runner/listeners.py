"""Who listens to every run: MLflow."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.events import CellWritten, Event, Listener, Noted
from uad_bench.runner.failures import failure_reason
from uad_bench.tracking import Tables, TrackingError, default_tracker, entries, sync


class Mlflow:
    """Sends every cell that is written to MLflow, and the detector and trials behind it.

    MLflow that is away is told to the user once; the run goes on, and its end, or ``sync``, sends
    the rest.
    """

    __name__ = "mlflow"

    def __init__(self, results: ResultsFolder, registry: Registry, tell: Listener) -> None:
        """Send the cells of ``results``, and tell what does not arrive."""
        self._results = results
        self._registry = registry
        self._tell = tell
        self._tracker = default_tracker(results.root)
        self._sent: set[tuple[str, str]] = set()
        self._missed = False

    def __call__(self, event: Event) -> None:
        """Send a cell that was written."""
        if self._missed or not isinstance(event, CellWritten):
            return
        try:
            for entry in entries([event.record], self._results):
                if (which := (entry.kind, entry.key)) not in self._sent or entry.kind == "cell":
                    self._tracker.send(entry, self._results.root)
                    self._sent.add(which)
        except TrackingError as error:
            self._missed = True
            self._tell(Noted(f"{error}; the run goes on"))

    def finish(self) -> None:
        """Send what is missing, with the tables, or say how to send it; nothing ends the run."""
        root, why = self._results.root, ""
        try:
            done = sync(self._results, self._tracker, tables_in(self._registry))
            is_whole = not done.failed
        except TrackingError:
            is_whole = False
        except Exception as error:  # such as a file of an earlier run, which sync reads again
            is_whole, why = False, f" ({failure_reason(error)})"
        if not is_whole:
            again = f"`uad-bench sync --results {shlex.quote(str(root))}`"
            self._tell(Noted(f"not everything is in MLflow{why}: {again} sends the rest"))


def tables_in(registry: Registry) -> Tables:
    """Return what makes the tables of a command: Markdown and LaTeX."""

    def tables(records: Sequence[CellRecord]) -> dict[str, str]:
        from uad_bench.report.tables.chosen import chosen_tables
        from uad_bench.report.tables.formats.render import render

        try:
            made = chosen_tables(records, registry)
        except UadBenchError:  # a cell of another version; `table` says which
            return {}
        return {"table.md": render(made, "markdown"), "table.tex": render(made, "latex")}

    return tables
