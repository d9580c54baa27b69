"""Pictures of cells: whoever computes a cell keeps its slice, and the process of the run draws it.

A slice waits in a file beside the pictures, written before its cell: a run that was killed between
the two is followed by one that draws it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_bench.cells import CellRecord
from uad_bench.results import ResultsFolder
from uad_bench.runner.detectors.scoring import Example
from uad_bench.runner.events import CellWritten, Event, Listener, Noted
from uad_bench.runner.failures import failure_reason
from uad_bench.runner.plan.job import named
from uad_bench.system.archives import npz_bytes
from uad_bench.system.disk import write_whole


def keep_slice(record: CellRecord, example: Example, mark: str, results: ResultsFolder) -> None:
    """Keep the slice of a cell that is about to be written, for :class:`Pictures` to draw.

    Args:
        record: the cell.
        example: the slice to show.
        mark: what its post-processing puts behind the method's title.
        results: where the slice goes.

    Raises:
        RunError: the disk is full.
    """
    spec, data = record.spec, record.data
    title = f"{named(record.method_title, spec.supervised_on)}{mark}"
    arrays: dict[str, NDArray[np.generic]] = {
        "image": example.image,
        "lesion": example.lesion,
        "score": example.scores[spec.postprocessing],
        "title": np.array(f"{title} on {spec.dataset}, {example.scan}"),
        "simulated": np.array(data is not None and data.simulated),
    }
    if example.reconstruction is not None:
        arrays["reconstruction"] = example.reconstruction
    write_whole(results.undrawn(spec.name), npz_bytes(arrays))


class Pictures:
    """Draws the picture of every cell that is written; without one, a cell is as good."""

    __name__ = "pictures"

    def __init__(self, results: ResultsFolder, tell: Listener) -> None:
        """Draw into ``results``, and tell why a picture is missing."""
        self._results = results
        self._tell = tell

    def __call__(self, event: Event) -> None:
        """Draw the slice of a cell that was written."""
        if isinstance(event, CellWritten):
            self._draw(event.record.spec.name)

    def draw_left(self) -> None:
        """Draw every slice that still waits; one without a cell is forgotten."""
        for name in self._results.all_undrawn():
            if self._results.cell(name).is_file():
                self._draw(name)
            else:
                self._results.undrawn(name).unlink(missing_ok=True)

    def _draw(self, name: str) -> None:
        file = self._results.undrawn(name)
        if not file.is_file():
            return  # no lesion to show, or a cell that failed
        try:
            write_whole(self._results.picture(name), _drawn(file))
        except Exception as error:
            self._tell(Noted(f"no picture of {name}: {failure_reason(error)}"))
        file.unlink(missing_ok=True)


def _drawn(file: Path) -> bytes:
    """Draw a slice that was kept."""
    # matplotlib writes to HOME when it is imported; a run that is refused does not need it.
    from uad_bench.report.figures.cells import cell_picture

    with np.load(file, allow_pickle=False) as arrays:
        return cell_picture(
            arrays["image"],
            arrays["lesion"],
            arrays.get("reconstruction"),
            arrays["score"],
            title=str(arrays["title"]),
            simulated=bool(arrays["simulated"]),
        )
