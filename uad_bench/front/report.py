"""The report of some results: what ``uad-bench report`` writes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.front.searched import Searched
from uad_bench.front.shown_scans import shown_scans
from uad_bench.front.tuning import write_tuning_page
from uad_bench.plugins.registry import open_registry
from uad_bench.report.page.browser import Images
from uad_bench.report.page.results import MB, draft_page
from uad_bench.runner.data.readiness import refuse, unwritable
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.events import Noted, unheard
from uad_bench.runner.plan.plan import PlanFile
from uad_bench.system.disk import write_whole

WITHOUT_IMAGES = "This report was made without images of scans (--no-images)."
NOT_AT_HAND = "No scan can be shown; the reasons are below."
_ENDLESS = 1e15  # infinity has no integer


def write_report(
    cells: tuple[CellRecord, ...],
    searched: Searched,
    path: Path | None,
    *,
    images: bool,
    patients: int,
    most_mb: float,
    progress: bool,
) -> Path:
    """Write the report of some cells.

    Args:
        cells: the cells.
        searched: where their results folder, detectors and prepared data are.
        path: the page's file; ``report.html`` in the results folder if not given.
        images: whether the page shows scans.
        patients: scans of each dataset that it shows.
        most_mb: megabytes that the page may have.
        progress: whether to tell on stderr what is going on.

    Returns:
        The page's file.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    if patients < 1:
        raise UadBenchError("--patients: give 1 or more, or --no-images")
    if not most_mb > 0:
        raise UadBenchError("--most-mb: give more than 0, such as 20")
    file = searched.root / "report.html" if path is None else path
    refuse(list(unwritable("-o", file.parent)))
    resolve_device(searched.device)
    tuning = write_tuning_page(searched.root, file.parent)
    draft = draft_page(
        cells,
        searched.root,
        open_registry(searched.plugin),
        most=int(min(most_mb * MB, _ENDLESS)),
        command=_command(searched.root),
        tuning="" if tuning is None else tuning.name,
    )
    with ExitStack() as stack:
        live = LiveProgress(Console(stderr=True, force_jupyter=False))
        tell = stack.enter_context(live) if progress and images else unheard
        if images:
            page = draft.page(shown_scans(cells, searched, patients, draft.room, tell), NOT_AT_HAND)
        else:
            page = draft.page(Images(()), WITHOUT_IMAGES)
        for note in page.notes:
            tell(Noted(note))
    write_whole(file, page.text.encode())
    return file


def _command(root: Path) -> str:
    """What started the last run of a folder; nothing where its plan cannot be read."""
    try:
        return PlanFile.model_validate_json((root / "plan.json").read_bytes()).command
    except (OSError, ValidationError):
        return ""
