"""The page of prepared scans: what is missing is drawn, and everything is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from uad_bench.cells import shortened
from uad_bench.report.figures.scan_picture import scan_picture
from uad_bench.report.page.quality import QualityRow, State, quality_page
from uad_bench.runner.preparation.orders import PreparedOrder, Request
from uad_bench.system.disk import write_whole
from uad_bench.system.processes import Workers
from uad_bench.volumes.checks.quality import ScanQuality, findings, outliers
from uad_bench.volumes.store.inputs import ScanInput, digest, facts
from uad_bench.volumes.store.prepared import Standard
from uad_bench.volumes.store.standardise import Preparation, standardise

PICTURES = "pictures"
"""The folder beside the page."""

_FEW = 4
"""Fewer pictures are drawn here: starting processes takes longer."""


def write_page(
    prepared: Sequence[PreparedOrder], request: Request, on_picture: Callable[[int, int], None]
) -> Path:
    """Draw the scans that were not drawn before, and write the page of all of them.

    Args:
        prepared: the datasets.
        request: where to, and with how many processes.
        on_picture: told how many of how many pictures are done.

    Returns:
        The page: ``index.html`` in the page's folder.
    """
    rows: list[QualityRow] = []
    drawings: list[_Drawing] = []
    for dataset in prepared:
        items = {item.scan.name: item for item in dataset.order.inputs}
        odd = outliers({scan.name: scan.quality for scan in dataset.scans})
        for scan in _seen(dataset):
            picture = None
            if scan.standard is not None:
                look = digest([facts(items[scan.name], paths=False), scan.standard.model_dump()])
                picture = f"{PICTURES}/{dataset.label}-{shortened(scan.name, 100)}-{look}.png"
                title = f"{dataset.label} {scan.name}"
                drawings.append(
                    _Drawing(
                        items[scan.name],
                        dataset.order.preparation,
                        f"{title} (simulated)" if dataset.order.simulated else title,
                        request.page / picture,
                    )
                )
            rows.append(_row(dataset.label, scan, odd.get(scan.name, ()), picture))
    _draw([it for it in drawings if not it.file.is_file()], request.jobs, on_picture)
    for file in (request.page / PICTURES).glob("*.png"):
        if f"{PICTURES}/{file.name}" not in {row.picture for row in rows}:
            file.unlink()
    text = quality_page(
        "Prepared scans",
        rows,
        simulated=any(dataset.order.simulated for dataset in prepared),
        facts=_facts(prepared),
    )
    page = request.page / "index.html"
    write_whole(page, text.encode())
    return page


@dataclass(frozen=True, slots=True)
class _Seen:
    """A scan on the page, whatever became of it."""

    name: str
    state: State
    reason: str
    standard: Standard | None
    quality: ScanQuality | None


def _seen(dataset: PreparedOrder) -> Iterator[_Seen]:
    for scan in dataset.scans:
        yield _Seen(scan.name, "ready", "", scan.standard, scan.quality)
    for left in dataset.excluded:
        yield _Seen(left.scan, left.state, left.reason, left.standard, left.quality)


def _row(label: str, scan: _Seen, odd: tuple[str, ...], picture: str | None) -> QualityRow:
    warnings = odd if scan.quality is None else (*findings(scan.quality), *odd)
    steps: tuple[tuple[str, float], ...] = ()
    methods: tuple[tuple[str, str], ...] = ()
    if scan.standard is not None:
        steps = tuple((step.name, step.seconds) for step in scan.standard.steps)
        methods = (("brain", scan.standard.brain), ("space", scan.standard.registration))
        if scan.standard.regridded:
            methods += (("regridded", ", ".join(scan.standard.regridded)),)
        if scan.standard.displaced:
            names = [f"{mask.file} ({mask.mm:.3g} mm)" for mask in scan.standard.displaced]
            methods += (("displaced", ", ".join(names)),)
    return QualityRow(
        name=f"{label} {scan.name}",
        state=scan.state,
        reason=scan.reason,
        quality=scan.quality,
        warnings=warnings,
        steps=steps,
        methods=methods,
        picture=picture,
    )


def _facts(prepared: Sequence[PreparedOrder]) -> list[tuple[str, str]]:
    """What the page says above its scans."""
    recipe = prepared[0].order.preparation.recipe
    counts = [
        f"{dataset.label}: {len(dataset.scans)} ready, {len(dataset.excluded)} left out"
        for dataset in prepared
    ]
    choices = recipe.model_dump(exclude={"name"})
    return [
        ("datasets", "; ".join(counts)),
        ("recipe", f"{recipe.name} ({recipe.hash})"),
        ("choices", ", ".join(f"{key} {value}" for key, value in choices.items())),
        ("uad-bench", version("uad-bench")),
    ]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A picture that is to be drawn; travels to a worker process."""

    item: ScanInput
    preparation: Preparation
    title: str
    file: Path


def _draw(drawings: Sequence[_Drawing], jobs: int, on_picture: Callable[[int, int], None]) -> None:
    """Draw the pictures in ``jobs`` processes, or here where there are few."""
    if len(drawings) < _FEW or jobs == 1:
        results: Iterable[None] = map(_draw_one, drawings)
        _count(results, len(drawings), on_picture)
        return
    with Workers(jobs, "drew scans") as pool:
        waiting = [pool.submit(_draw_one, drawing) for drawing in drawings]
        _count((future.result() for future in waiting), len(drawings), on_picture)


def _count(done: Iterable[None], total: int, on_picture: Callable[[int, int], None]) -> None:
    for number, _ in enumerate(done, start=1):
        on_picture(number, total)


def _draw_one(drawing: _Drawing) -> None:
    loaded, _ = standardise(drawing.item, drawing.preparation)
    write_whole(drawing.file, scan_picture(loaded, drawing.title))
