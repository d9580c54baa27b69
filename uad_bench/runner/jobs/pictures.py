"""Pictures of cells, drawn where a cell is computed: a run on many workers draws many at once."""

from __future__ import annotations

from uad_bench.cells import CellRecord
from uad_bench.results import ResultsFolder
from uad_bench.runner.detectors.scoring import Example
from uad_bench.runner.events import Listener, Noted
from uad_bench.runner.failures import failure_reason
from uad_bench.runner.plan.job import named
from uad_bench.system.disk import write_whole


def draw_cell(
    record: CellRecord, example: Example, mark: str, results: ResultsFolder, tell: Listener
) -> None:
    """Draw the picture of a cell that is about to be written; without one the cell is as good.

    Args:
        record: the cell.
        example: the slice to show.
        mark: what its post-processing puts behind the method's title.
        results: where the picture goes.
        tell: told why there is none.

    Raises:
        RunError: the disk is full.
    """
    spec, data = record.spec, record.data
    title = f"{named(record.method_title, spec.supervised_on)}{mark}"
    try:
        # matplotlib writes to HOME when it is imported; a run that is refused does not need it.
        from uad_bench.report.figures.cells import cell_picture

        picture = cell_picture(
            example.image,
            example.lesion,
            example.reconstruction,
            example.scores[spec.postprocessing],
            title=f"{title} on {spec.dataset}, {example.scan}",
            simulated=data is not None and data.simulated,
        )
        write_whole(results.picture(spec.name), picture)
    except Exception as error:
        tell(Noted(f"no picture of {spec.name}: {failure_reason(error)}"))
