"""The report of a results folder: one page of HTML that holds all it shows and asks no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from uad_bench import __version__
from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.report.page import facts
from uad_bench.report.page.browser import Browser, ShownScan, empty_browser, make_browser
from uad_bench.report.page.chart import Chart
from uad_bench.report.page.template import rendered, source

NO_ROOM = "No scan fits into the size of this page."
"""Why a page has no scans where they would be too large."""

_REST_SHARE = 0.5
"""Of a page with scans, all else may take this share before figures are left out."""

_NO_CHARTS = "Figures are left out, because of the size of this page; `uad-bench plot` draws them."


@dataclass(frozen=True, slots=True)
class Images:
    """The scans that the patient browser may show.

    Attributes:
        scans: those that may not be left out first.
        most: bytes that the whole page may have.
        notes: what is left out, and why.
        why: why there are no scans at all.
        planned: of how many slices one was planned to be shown.
    """

    scans: tuple[ShownScan, ...]
    most: int
    notes: tuple[str, ...]
    why: str
    planned: int = 1


@dataclass(frozen=True, slots=True)
class Draft:
    """A report without its scans.

    Attributes:
        values: what its template is given.
    """

    values: Mapping[str, Any]

    def room(self, most: int) -> int:
        """Return how many bytes scans may have at most.

        Args:
            most: bytes that the whole page may have.
        """
        return most - _size(self._beside_scans(most).rendered(empty_browser(())))

    def rendered(
        self, browser: Browser | None = None, why: str = "", notes: Sequence[str] = ()
    ) -> str:
        """Return the page.

        Args:
            browser: its scans.
            why: why there are none.
            notes: what is left out.
        """
        return rendered(
            "results.html.j2", browser=browser, no_images=why, left_out=notes, **self.values
        )

    def page(self, images: Images) -> str:
        """Return the page with scans, as far as they fit.

        Args:
            images: the scans, or why there are none.
        """
        if not images.scans:
            return self._without_scans(images, images.why)
        draft = self._beside_scans(images.most)
        titles = dict.fromkeys(method.title for scan in images.scans for method in scan.methods)
        rest = _size(draft.rendered(empty_browser(titles), notes=images.notes))
        room = images.most - rest
        browser = make_browser(images.scans, room, images.notes, images.planned)
        if not browser.slices:
            return self._without_scans(images, NO_ROOM)
        return draft.rendered(browser, notes=browser.notes)

    def _without_scans(self, images: Images, why: str) -> str:
        """The page where there is nothing to look at, without figures where they are too large."""
        whole = self.rendered(why=why, notes=images.notes)
        if _size(whole) <= images.most:
            return whole
        return self._without_charts().rendered(why=why, notes=images.notes)

    def _beside_scans(self, most: int) -> Draft:
        """The page that scans are put on: without figures where they take too much of it."""
        return self._without_charts() if _size(self.rendered()) > most * _REST_SHARE else self

    def _without_charts(self) -> Draft:
        if not self.values["charts"]:
            return self
        return Draft({**self.values, "charts": [], "missing_charts": [_NO_CHARTS]})


def _size(page: str) -> int:
    return len(page.encode())


def draft_page(
    records: Sequence[CellRecord],
    root: Path,
    registry: Registry,
    *,
    command: str,
    tuning: str = "",
) -> Draft:
    """Make all of a report but its scans.

    Args:
        records: the cells.
        root: the results folder.
        registry: where their protocols and post-processings are found.
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
        }
    )


def _summary(records: Sequence[CellRecord]) -> str:
    methods = {record.spec.method for record in records}
    datasets = {record.spec.dataset for record in records}
    failed = sum(record.state == "failed" for record in records)
    parts = [(len(records), "cell"), (len(methods), "method"), (len(datasets), "dataset")]
    counted = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in parts)
    return f"{counted}{f'; {failed} of the cells failed' if failed else ''}"


def _simulated(records: Sequence[CellRecord]) -> str:
    """``all``, ``some`` or nothing, as the people behind the cells are simulated."""
    uses = [use for record in records for use in (record.training, record.data) if use is not None]
    marks = {use.simulated for use in uses}
    if marks == {True}:
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
