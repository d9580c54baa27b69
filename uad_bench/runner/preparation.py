"""Preparing cohorts for their own sake: what is to be done, doing it, and the page to look at."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.phantom.layouts import is_simulated
from uad_bench.registry import Registry
from uad_bench.report.quality import QualityRow, State, quality_page
from uad_bench.report.scan_picture import scan_picture
from uad_bench.results import write_whole
from uad_bench.runner.data import STORES, tissue_source
from uad_bench.runner.sources import Source, cache_folder, find_source
from uad_bench.volumes.inputs import ScanInput, digest, facts
from uad_bench.volumes.prepare import NothingLeftError, Order, prepare, take_order
from uad_bench.volumes.quality import ScanQuality, findings, outliers
from uad_bench.volumes.recipe import find_recipe
from uad_bench.volumes.standardise import (
    PlannedStep,
    Preparation,
    planned_steps,
    recorded_seconds,
    standardise,
)
from uad_bench.volumes.store import ExcludedScan, PreparedScan, Standard, StepName
from uad_bench.volumes.workers import Outcome

SECONDS: dict[StepName, float] = {
    "strip": 60.0,
    "n4": 12.0,
    "register": 10.0,
    "tissues": 20.0,
    "slice": 1.5,
}
"""What a step takes on one slow core, until this machine has done it once."""

PICTURES = "pictures"
"""The folder beside the page."""

_FEW = 4
"""Fewer pictures are drawn here: starting processes takes longer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What ``uad-bench prepare`` was asked for.

    Attributes:
        datasets: cohort names or ``NAME:PATH``.
        data_root: the folder that holds the cohorts.
        recipe: name or YAML file of the recipe.
        template: the user's SRI24.
        tissues: as of ``run``.
        limit: only the first subjects of every split.
        jobs: worker processes.
        cache: where stores go.
        page: the folder of the page and its pictures.
    """

    datasets: tuple[str, ...]
    data_root: Path | None
    recipe: str
    template: Path | None
    tissues: str | None
    limit: int | None
    jobs: int
    cache: Path | None
    page: Path


@dataclass(frozen=True, slots=True)
class PlannedScan:
    """What is to be done with one scan: its steps, or why it cannot be used."""

    name: str
    steps: tuple[PlannedStep, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PreparedOrder:
    """What came of one cohort.

    Attributes:
        label: the cohort's name in tables.
        order: what was asked.
        store: the folder of the prepared cohort; ``None`` where no scan could be used.
        scans: the scans in it.
        excluded: the scans left out.
    """

    label: str
    order: Order
    store: Path | None
    scans: tuple[PreparedScan, ...]
    excluded: tuple[ExcludedScan, ...]


def take_orders(
    request: Request, registry: Registry, note: Callable[[str], None]
) -> tuple[tuple[str, Order], ...]:
    """Find the cohorts and their scans.

    Args:
        request: what was asked for.
        registry: the adapters.
        note: told what the user should know of a source, such as DICOM studies left out.

    Raises:
        UadBenchError: a cohort that is unknown, not there, or contradicts itself; all at once.
    """
    recipe = find_recipe(request.recipe, request.template)
    tissues = tissue_source(request.tissues)
    stores = cache_folder(request.cache) / STORES
    orders: list[tuple[str, Order]] = []
    problems: list[str] = []
    for source in _sources(request, registry, problems):
        folder = source.folder
        for text in source.notes:
            note(text)
        if folder is None:
            problems.append(
                f"cohort {source.label} is not in {request.data_root or 'any data root'}: "
                f"`uad-bench data {source.label}` shows what is expected where"
            )
            continue
        try:
            order = take_order(
                source.cohort,
                folder,
                recipe,
                stores,
                simulated=is_simulated(folder),
                limit=request.limit,
                template=request.template,
                tissues=tissues,
            )
        except UadBenchError as error:
            problems.append(str(error))
        else:
            orders.append((source.label, order))
    if problems:
        raise UadBenchError("; ".join(problems))
    return tuple(orders)


def _sources(request: Request, registry: Registry, problems: list[str]) -> Iterator[Source]:
    """The cohorts that were named; ``all`` means every one that lies in the data root."""
    cache = cache_folder(request.cache)
    if request.datasets == ("all",):
        if request.data_root is None:
            raise UadBenchError("say what to prepare: --data-root DIR, or --datasets bids:PATH")
        named = [name for name in registry.names("dataset") if registry.cohort(name).info.folders]
        found = [find_source(name, request.data_root, registry, cache) for name in named]
        yield from (source for source in found if source.folder is not None)
        return
    for name in request.datasets:
        try:
            yield find_source(name, request.data_root, registry, cache)
        except UadBenchError as error:
            problems.append(str(error))


def plan_scans(order: Order) -> Iterator[PlannedScan]:
    """Say of every scan what is to be done, reading each once."""
    for item in order.inputs:
        try:
            yield PlannedScan(item.scan.name, planned_steps(item, order.preparation))
        except ScanError as error:
            yield PlannedScan(item.scan.name, problem=str(error))


def expected_seconds(scans: Iterable[PlannedScan], preparation: Preparation, jobs: int) -> float:
    """Estimate the wall time of what is left to do, from what steps took here before."""
    usual = {
        name: statistics.median(recorded_seconds(preparation.steps, name) or [guess])
        for name, guess in SECONDS.items()
    }
    work = [sum(usual[step.name] for step in scan.steps if not step.done) for scan in scans]
    return max([sum(work) / jobs, *work], default=0.0)


def prepare_order(
    label: str, order: Order, request: Request, on_scan: Callable[[Outcome], None]
) -> PreparedOrder:
    """Prepare one cohort, or find it prepared; that no scan of it can be used is no error here.

    Raises:
        UadBenchError: a tool is missing, or nothing can be written.
    """
    stores = cache_folder(request.cache) / STORES
    try:
        store = prepare(order, stores, jobs=request.jobs, on_scan=on_scan)
    except NothingLeftError as error:
        return PreparedOrder(label, order, None, (), error.excluded)
    return PreparedOrder(label, order, store.folder, store.scans, store.excluded)


def write_page(
    prepared: Sequence[PreparedOrder], request: Request, on_picture: Callable[[int, int], None]
) -> Path:
    """Draw the scans that were not drawn before, and write the page of all of them.

    Args:
        prepared: the cohorts.
        request: where to, and with how many processes.
        on_picture: told how many of how many pictures are done.

    Returns:
        The page: ``index.html`` in the page's folder.
    """
    rows: list[QualityRow] = []
    drawings: list[_Drawing] = []
    for cohort in prepared:
        items = {item.scan.name: item for item in cohort.order.inputs}
        odd = outliers({scan.name: scan.quality for scan in cohort.scans})
        for scan in _seen(cohort):
            picture = None
            if scan.standard is not None:
                look = digest([facts(items[scan.name], paths=False), scan.standard.model_dump()])
                picture = f"{PICTURES}/{cohort.label}-{scan.name}-{look}.png"
                title = f"{cohort.label} {scan.name}"
                drawings.append(
                    _Drawing(
                        items[scan.name],
                        cohort.order.preparation,
                        f"{title} (simulated)" if cohort.order.simulated else title,
                        request.page / picture,
                    )
                )
            rows.append(_row(cohort.label, scan, odd.get(scan.name, ()), picture))
    _draw([it for it in drawings if not it.file.is_file()], request.jobs, on_picture)
    for file in (request.page / PICTURES).glob("*.png"):
        if f"{PICTURES}/{file.name}" not in {row.picture for row in rows}:
            file.unlink()
    text = quality_page(
        "Prepared scans",
        rows,
        simulated=any(cohort.order.simulated for cohort in prepared),
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


def _seen(cohort: PreparedOrder) -> Iterator[_Seen]:
    for scan in cohort.scans:
        yield _Seen(scan.name, "ready", "", scan.standard, scan.quality)
    for left in cohort.excluded:
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
        f"{cohort.label}: {len(cohort.scans)} ready, {len(cohort.excluded)} left out"
        for cohort in prepared
    ]
    choices = recipe.model_dump(exclude={"name"})
    return [
        ("cohorts", "; ".join(counts)),
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
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        _count(pool.map(_draw_one, drawings), len(drawings), on_picture)


def _count(done: Iterable[None], total: int, on_picture: Callable[[int, int], None]) -> None:
    for number, _ in enumerate(done, start=1):
        on_picture(number, total)


def _draw_one(drawing: _Drawing) -> None:
    loaded, _ = standardise(drawing.item, drawing.preparation)
    write_whole(drawing.file, scan_picture(loaded, drawing.title))
