"""Who listens to every run: the pictures of its cells, and MLflow."""

from __future__ import annotations

import shlex

from uad_bench.results import ResultsFolder
from uad_bench.runner.events import CellScored, CellWritten, Event, Listener, Noted
from uad_bench.runner.plan.job import named
from uad_bench.system.disk import write_whole
from uad_bench.tracking import TrackingError, default_tracker, sync


def pictures(results: ResultsFolder) -> Listener:
    """Return a listener that draws one picture per cell."""

    def pictures(event: Event) -> None:
        if not isinstance(event, CellScored) or event.example is None:
            return
        # matplotlib writes to HOME when it is imported; a run that is refused does not need it.
        from uad_bench.report.figures.cells import cell_picture

        spec, example = event.record.spec, event.example
        data = event.record.data
        picture = cell_picture(
            example.image,
            example.lesion,
            example.reconstruction,
            example.scores[spec.postprocessing],
            title=f"{named(event.record.method_title, spec.supervised_on)}{event.mark} on "
            f"{spec.dataset}, {example.scan}",
            simulated=data is not None and data.simulated,
        )
        write_whole(results.picture(spec.name), picture)

    return pictures


class Mlflow:
    """Sends every cell that is written to MLflow.

    MLflow that is away is told to the user once; the run goes on, and ``sync`` sends the rest.
    """

    __name__ = "mlflow"

    def __init__(self, results: ResultsFolder, tell: Listener) -> None:
        """Send the cells of ``results``, and tell what does not arrive."""
        self._results = results
        self._tell = tell
        self._tracker = default_tracker(results.root)
        self._missed = False

    def __call__(self, event: Event) -> None:
        """Send a cell that was written."""
        if self._missed or not isinstance(event, CellWritten):
            return
        picture = self._results.picture(event.record.spec.name)
        try:
            self._tracker.send(
                event.record, self._results.root, picture if picture.is_file() else None
            )
        except TrackingError as error:
            self._missed = True
            self._tell(Noted(f"{error}; the run goes on"))

    def finish(self) -> None:
        """Send what a run that was killed may have left unsent, or say how to send it."""
        root = self._results.root
        if not self._missed:
            try:
                sync(root, self._tracker)
            except TrackingError:
                self._missed = True
        if self._missed:
            again = shlex.join(["uad-bench", "sync", "--results", str(root)])
            self._tell(Noted(f"not everything is in MLflow: `{again}` sends the rest"))
