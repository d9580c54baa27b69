"""The report of a results folder: one page of HTML that holds all it shows and asks no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

from uad_bench import __version__
from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.report.page import facts
from uad_bench.report.page.browser import Browser, Images, empty_browser, make_browser
from uad_bench.report.page.chart import Chart
from uad_bench.report.page.template import rendered, source

MB = 1_000_000
"""Bytes of a megabyte."""

_NO_ROOM = "No scan fits into the size of this page (--most-mb)."
"""Why a page has no scans where they would be too large."""

_REST_SHARE = 0.5
"""Of a page with scans, all else may take this share before figures are left out."""

_NO_CHARTS = "Figures are left out, because of the size of this page; `uad-bench plot` draws them."


@dataclass(frozen=True, slots=True)
class Page:
    """A finished report.

    Attributes:
        text: its HTML.
        notes: what it says that it leaves out.
    """

    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A report without its scans.

    Attributes:
        values: what its template is given.
        most: bytes that the page may have.
    """

    values: Mapping[str, Any]
    most: int

    def room(self, titles: Iterable[str], notes: Iterable[str]) -> int:
        """Return how many bytes scans may have at most.

        Args:
            titles: of the methods.
            notes: what the page is going to say that it leaves out.
        """
        empty = empty_browser(titles, notes)
        whole = _size(self._rendered(empty, notes=empty.notes))
        if whole > self.most * _REST_SHARE:
            whole = _size(self._without_charts()._rendered(empty, notes=empty.notes))
        return self.most - whole

    def page(self, images: Images, why: str) -> Page:
        """Return the page with scans, as far as they fit.

        Args:
            images: the scans.
            why: why there are none, if there are none.

        Raises:
            UadBenchError: even without scans and figures, the page would be too large.
        """
        titles = (method.title for scan in images.scans for method in scan.methods)
        browser = make_browser(images, self.room(dict.fromkeys(titles), images.notes))
        if browser.slices:
            return self._fitting(browser, "", browser.notes)
        is_full = images.scans or images.unscored
        return self._fitting(None, _NO_ROOM if is_full else why, images.notes)

    def _fitting(self, browser: Browser | None, why: str, notes: tuple[str, ...]) -> Page:
        """The page, without figures where they are too large."""
        for draft in (self, self._without_charts()):
            text = draft._rendered(browser, why, notes)
            if _size(text) <= self.most:
                return Page(text, notes)
        raise UadBenchError(
            f"--most-mb {self.most / MB:g}: the tables of this page alone take "
            f"{_size(text) / MB:.2f} MB; give {ceil(_size(text) / MB * 10) / 10:g} or more"
        )

    def _rendered(self, browser: Browser | None, why: str = "", notes: Sequence[str] = ()) -> str:
        return rendered(
            "results.html.j2", browser=browser, no_images=why, left_out=notes, **self.values
        )

    def _without_charts(self) -> Draft:
        if not self.values["charts"]:
            return self
        return replace(self, values={**self.values, "charts": [], "missing_charts": [_NO_CHARTS]})


def _size(page: str) -> int:
    return len(page.encode())


def draft_page(
    records: Sequence[CellRecord],
    root: Path,
    registry: Registry,
    *,
    most: int,
    command: str,
    tuning: str = "",
) -> Draft:
    """Make all of a report but its scans.

    Args:
        records: the cells.
        root: the results folder.
        registry: where their protocols and post-processings are found.
        most: bytes that the page may have.
        command: what made the last of them.
        tuning: the address of the page of its studies; empty without any.

    Raises:
        UadBenchError: numbers of another version than this uad-bench, or a damaged file.
    """
    from markupsafe import Markup

    from uad_bench.report.tables.chosen import chosen_tables
    from uad_bench.report.tables.formats.html import html

    tables = chosen_tables(records, registry, intervals=True)
    names = facts.Names.of(records)
    ran = (
        facts.methods_table(records, names),
        facts.tuning_table(records, names),
        facts.data_table(records, names),
        facts.costs_table(records, names),
        facts.versions_table(records),
    )
    script = source("browser.js")
    charts, missing = _charts(records, root, registry)
    return Draft(
        {
            "title": root.absolute().name,
            "summary": _summary(records),
            "simulated": _simulated(records),
            "warnings": facts.several_states(records),
            "tables": [(table.protocol, Markup(html(table))) for table in tables],
            "charts": charts,
            "missing_charts": missing,
            "worst": facts.worst_tables(records, names),
            "ran": [one for one in ran if one.rows],
            "failures": facts.failures_table(records, names),
            "exclusions": facts.exclusions_table(records, names),
            "remarks": facts.remarks_table(records, names),
            "command": command,
            "tuning": tuning,
            "version": __version__,
            "script": Markup(script),
            "script_hash": b64encode(sha256(script.encode()).digest()).decode(),
        },
        most,
    )


def _summary(records: Sequence[CellRecord]) -> str:
    methods = {record.spec.method for record in records}
    datasets = {record.spec.dataset for record in records}
    failed = sum(record.state == "failed" for record in records)
    parts = [(len(records), "cell"), (len(methods), "method"), (len(datasets), "dataset")]
    counted = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in parts)
    return f"{counted}{f'; {failed} of the cells failed' if failed else ''}"


def _simulated(records: Sequence[CellRecord]) -> str:
    """``all``, ``some`` or nothing, as the people behind the cells are simulated.

    Whom a method learned from whose maps were made elsewhere is not known.
    """
    uses = [use for record in records for use in (record.training, record.data) if use is not None]
    is_known = all(record.maps is None for record in records)
    if is_known and {use.simulated for use in uses} == {True}:
        return "all"
    return "some" if any(record.simulated for record in records) else ""


def _charts(
    records: Sequence[CellRecord], root: Path, registry: Registry
) -> tuple[list[Chart], list[str]]:
    """Every figure that can be drawn, for each protocol and space that has finished cells.

    Returns:
        The figures, and why others are not there. One that these results are not made for is none
        of them.
    """
    from uad_bench.report.plots.catalogue import FIGURES
    from uad_bench.report.plots.source import NothingToDrawError, make_source
    from uad_bench.report.plots.style import encoded, styled

    done = [record for record in records if record.state == "done"]
    charts, missing = list[Chart](), list[str]()
    for name, space in sorted({(record.spec.protocol, record.spec.space) for record in done}):
        where = "" if space == "template" else ", each scan's own voxels"
        try:
            source = make_source(records, root, registry, protocol=name, space=space)
        except NothingToDrawError as error:
            missing.append(f"{error}.")
            continue
        for info in FIGURES.values():
            title = f"{info.shows[0].upper()}{info.shows[1:]}; protocol {name}{where}"
            try:
                with styled():
                    drawing = encoded(info.draw(source), "svg")
            except NothingToDrawError:
                continue
            except UadBenchError as error:
                missing.append(f"{title}: {error}.")
                continue
            alt = f"{title}. The numbers behind it are in the tables and in the results folder."
            charts.append(Chart(title, alt, drawing))
    return charts, missing
