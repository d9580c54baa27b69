"""Results: what a run came to, as frames and tables, and its detectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.front.result_tables import ResultListing, ResultTables
from uad_bench.lean import whole
from uad_bench.results import ResultsFolder
from uad_bench.system.collector import collector_paused

if TYPE_CHECKING:
    import pandas as pd

    from uad_bench.front.detector import Detector
    from uad_bench.report.tables.choice import Names

_MOST_LISTED = 4


@dataclass(frozen=True, repr=False)
class Results:
    r"""The cells of a run, or of a results folder. ``run`` and ``load_results`` return one.

    Attributes:
        folder: the results folder.
        stored: the cells as they were read, in half the room; ``cells`` is for use.
        computed: how many of them were computed now; the others were there already.
        plugin: files and folders with further protocols and post-processings, for tables.

    Examples:
        >>> import uad_bench as ub
        >>> results = ub.load_results("results")
        >>> results
        2 cells in results: thresholding on mslub
        >>> frame = results.to_frame()
        >>> frame[frame.metric == "auprc"][["title", "postprocessing", "value"]].round(3)
              title postprocessing  value
        0   Thresh.           none  0.007
        23  Thresh.           star  0.007
        >>> scans = results.scans()
        >>> scans[scans.metric == "patient_score"].groupby("postprocessing").value.max().round(2)
        postprocessing
        none    1.0
        star    1.0
        Name: value, dtype: float64
        >>> print(results.table("auprc").markdown())
        All data are simulated. ...
        | Dataset | Thresh. | Thresh.\* | Prevalence |
        | :-- | --: | --: | --: |
        | MSLUB (simulated) | ...
    """

    folder: Path
    stored: tuple[CellRecord, ...]
    computed: int = 0
    plugin: tuple[Path, ...] = ()

    @cached_property
    def cells(self) -> tuple[CellRecord, ...]:
        """One record per cell, finished or failed."""
        with collector_paused():
            return tuple(map(whole, self.stored))

    def __reduce__(self) -> tuple[type[Results], tuple[object, ...]]:
        """Travel with whole records, to a process that read nothing."""
        return Results, (self.folder, self.cells, self.computed, self.plugin)

    @property
    def failed(self) -> tuple[CellRecord, ...]:
        """The cells that failed; ``reason`` says why."""
        return tuple(whole(record) for record in self.stored if record.state == "failed")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cell and metric.

        Returns:
            A frame with the cell (``method``, ``title``, ``group``, ``dataset``, ``protocol``,
            ``postprocessing``, ``space``, ``seed``), what it stands on (``simulated``,
            ``elsewhere``, ``training``, ``recipe``), the number (``metric``, ``value``, 95 %
            interval ``low`` to ``high``, ``unit``, ``better``, ``subjects``, ``penalised``,
            ``skipped``), ``state`` and ``reason``. Each parameter is a column ``param.NAME``,
            empty for methods without it; ``params`` is the hash of all of them. A failed cell is
            one row without a metric.
        """
        from uad_bench.report.frames import cells_frame

        return cells_frame(self.stored)

    def scans(self) -> pd.DataFrame:
        """Return one row per scan and metric of every finished cell.

        Returns:
            A frame with the columns of the cell as in ``to_frame``, and ``subject``, ``session``,
            what the scan can be grouped by (``site``, ``scanner``, ``age``, ``sex``,
            ``lesion_ml``, ``lesions``), ``metric`` and ``value``, which is NaN where a metric is
            undefined for a scan.
        """
        from uad_bench.report.frames import scans_frame

        return scans_frame(self.stored)

    def __repr__(self) -> str:
        count = f"{len(self.stored)} {'cell' if len(self.stored) == 1 else 'cells'}"
        states = [record.state for record in self.stored]
        failed = f", {states.count('failed')} failed," if "failed" in states else ""
        methods = _listed(record.spec.method for record in self.stored)
        datasets = _listed(record.spec.dataset for record in self.stored)
        return f"{count}{failed} in {self.folder}: {methods} on {datasets}"

    def table(
        self,
        metrics: Names | None = None,
        *,
        like: str | None = None,
        methods: Names | None = None,
        postprocessing: Names | None = None,
        controls: Names | None = None,
        datasets: Names | None = None,
        rows: str | None = None,
        protocol: Names | None = None,
        space: str | None = None,
        intervals: bool = False,
        published: bool = False,
        compare: str | None = None,
    ) -> ResultTables:
        """Make the tables that ``uad-bench table`` writes, in the same words.

        Args:
            metrics: names of metrics, as a list or with commas; the protocol's own if not given.
            like: the paper's table whose form it takes: ``table2`` to ``table5``.
            methods: methods that are no controls, in the order wanted; all, in the run's order, if
                not given.
            postprocessing: post-processings, likewise.
            controls: controls, likewise; ``"none"`` or ``()`` for none.
            datasets: datasets, likewise.
            rows: ``datasets`` or ``methods``; datasets if that fits, if not given.
            protocol: protocols; all that were run if not given.
            space: ``template`` or ``native``; both, as far as they were run, if not given.
            intervals: whether to show 95 % intervals over subjects.
            published: whether to add the paper's numbers, and our differences from them.
            compare: a method whose average improvement and paired tests against every other are
                added.

        Raises:
            UadBenchError: an unknown name, or nothing to show.
        """
        from uad_bench.plugins.registry import open_registry
        from uad_bench.report.tables.chosen import chosen_tables

        return ResultTables(
            chosen_tables(
                self.stored,
                open_registry(self.plugin),
                like=like,
                metrics=metrics,
                methods=methods,
                postprocessing=postprocessing,
                controls=controls,
                datasets=datasets,
                rows=rows,
                protocol=protocol,
                space=space,
                intervals=intervals,
                published=published,
                compare=compare,
            )
        )

    def compare(
        self,
        *methods: str,
        metric: str | None = None,
        datasets: Names | None = None,
        protocol: str | None = None,
        space: str = "template",
        postprocessing: str | None = None,
    ) -> ResultListing:
        """Compare a method with others, as ``uad-bench compare`` does, in the same words.

        Args:
            methods: two or more; the first is compared with each of the others.
            metric: what is compared; the protocol's first metric if not given.
            datasets: names of datasets, as a list or with commas; all if not given.
            protocol: ``strict`` if it was run, or else the only one, if not given.
            space: ``template`` or ``native``.
            postprocessing: ``none`` if it was run, or else the only one, if not given.

        Raises:
            UadBenchError: a name that these results do not have, a metric that cannot be compared,
                or methods without a subject in common.
        """
        from uad_bench.plugins.registry import open_registry
        from uad_bench.report.statistics.chosen import Question
        from uad_bench.report.statistics.comparisons import compare
        from uad_bench.report.statistics.words import comparison_listing

        question = Question(methods, metric, datasets, protocol, space, postprocessing)
        registry = open_registry(self.plugin)
        return ResultListing(
            comparison_listing(compare(self.stored, registry, self.folder, question))
        )

    def report(
        self,
        path: str | Path | None = None,
        *,
        images: bool = True,
        patients: int = 4,
        most_mb: float = 20.0,
        cache: str | Path | None = None,
        device: str = "auto",
        progress: bool = True,
    ) -> Path:
        """Write one page of HTML with all there is to see, as ``uad-bench report`` does.

        Scans are scored again by the stored detectors. Numbers in tables are those of the run.

        Args:
            path: the page's file; ``report.html`` in the results folder if not given.
            images: whether the page shows scans.
            patients: scans of each dataset that it shows: the worst, the median and the best of
                each method first.
            most_mb: megabytes that the page has at most; what does not fit is left out, and said.
            cache: the folder with the prepared datasets; the user's cache by default.
            device: torch device of the detectors, or ``auto``.
            progress: whether to tell on stderr what is going on.

        Returns:
            The page's file.

        Raises:
            UadBenchError: no cells, numbers of another version, tables larger than ``most_mb``, or
                a file that cannot be written.

        Examples:
            >>> import uad_bench as ub
            >>> ub.load_results("results").report("report.html", progress=False).name
            'report.html'
        """
        from uad_bench.front.report import write_report
        from uad_bench.front.searched import Searched

        if not self.stored:
            raise UadBenchError(f"no results in {self.folder}: `uad-bench run` writes them")
        where = None if cache is None else Path(cache).expanduser()
        return write_report(
            self.stored,
            Searched(self.folder, where, device, self.plugin),
            None if path is None else Path(path).expanduser(),
            images=images,
            patients=patients,
            most_mb=most_mb,
            progress=progress,
        )

    def strata(
        self,
        by: str,
        *,
        metric: str | None = None,
        methods: Names | None = None,
        datasets: Names | None = None,
        protocol: str | None = None,
        space: str = "template",
        postprocessing: str | None = None,
        fewest: int = 5,
    ) -> ResultListing:
        """Show a metric by group of scans, as ``uad-bench strata`` does, in the same words.

        Args:
            by: ``site``, ``scanner``, ``age``, ``sex``, ``lesion-volume`` or ``lesion-count``.
            metric: what is shown; the protocol's first metric if not given.
            methods: whose; every method that is no control if not given.
            datasets: names of datasets, as a list or with commas; all if not given.
            protocol: ``strict`` if it was run, or else the only one, if not given.
            space: ``template`` or ``native``.
            postprocessing: ``none`` if it was run, or else the only one, if not given.
            fewest: a group with fewer subjects is not shown.

        Raises:
            UadBenchError: an unknown name, a metric that single scans do not have, or a trait that
                nobody stated.

        Examples:
            >>> import uad_bench as ub
            >>> print(ub.load_results("results").strata("lesion-count", fewest=1).markdown())
            All patients are simulated. ...
            | Dataset | Lesions | Method | Subjects | AUPRC | 95 % interval |
            | :-- | :-- | :-- | --: | --: | --: |
            | MSLUB (simulated) | 1 | Thresh. | 3 | ... | – |
        """
        from uad_bench.plugins.registry import open_registry
        from uad_bench.report.statistics.chosen import Question
        from uad_bench.report.statistics.strata import strata_listing
        from uad_bench.report.tables.choice import names

        asked = () if methods is None else names("methods", methods)
        question = Question(asked, metric, datasets, protocol, space, postprocessing)
        registry = open_registry(self.plugin)
        return ResultListing(strata_listing(self.stored, registry, question, by=by, fewest=fewest))

    def plot(
        self,
        name: str,
        file: str | Path,
        *,
        methods: Names | None = None,
        datasets: Names | None = None,
        postprocessing: Names | None = None,
        controls: Names | None = None,
        metric: str | None = None,
        protocol: str = "strict",
        space: str = "template",
        swept: str | None = None,
        cache: str | Path | None = None,
        device: str = "auto",
        progress: bool = True,
    ) -> Path:
        """Draw a figure for a paper, as ``uad-bench plot`` does, in the same words.

        Args:
            name: of the figure, such as ``precision-recall``; ``uad-bench plot`` lists them.
            file: it ends in ``.pdf`` or ``.svg``, with vectors, or in ``.png``.
            methods: methods that are no controls, in the order wanted; all if not given.
            datasets: datasets, likewise.
            postprocessing: post-processings, likewise.
            controls: controls, likewise; ``"none"`` or ``()`` for none.
            metric: the metric that is drawn; the figure's own if not given.
            protocol: a protocol that was run.
            space: ``template`` or ``native``.
            swept: the parameter that ``sweep`` is of, such as ``spa.beta``; not needed where
                there is one sweep.
            cache: the folder with the prepared datasets, for figures that score scans again; the
                user's cache by default.
            device: torch device of the detectors, for the same figures, or ``auto``.
            progress: whether these tell on stderr what is going on.

        Returns:
            The file.

        Raises:
            UadBenchError: an unknown name, another ending, nothing to draw, or a file that cannot
                be written.
        """
        from uad_bench.front.figures.drawing import Asked, write_figure
        from uad_bench.front.searched import Searched
        from uad_bench.report.tables.choice import Choice
        from uad_bench.report.tables.chosen import one_space

        choice = Choice.of(
            methods=methods, postprocessing=postprocessing, controls=controls, datasets=datasets
        )
        where, file = None if cache is None else Path(cache).expanduser(), Path(file)
        write_figure(
            Asked(name, choice, metric, protocol, one_space(space), swept),
            self.stored,
            Searched(self.folder, where, device, self.plugin),
            file,
            progress=progress,
        )
        return file

    def export(self, path: str | Path, *, detectors: bool = False, histograms: bool = True) -> Path:
        """Write these cells and all that their numbers stand on into a zip, without any image.

        Args:
            path: the zip's file; it ends in ``.zip`` and is replaced if it is there.
            detectors: whether the cells' detectors go in too. What they hold of the people that
                they learned from is said in ``archive.json``, the first file of the zip.
            histograms: whether the histograms of scores go in, which curves need. They are nearly
                all of the size.

        Returns:
            The zip's file.

        Raises:
            UadBenchError: no cells, another ending, or a file that is gone or cannot be written.

        Examples:
            >>> import uad_bench as ub
            >>> ub.load_results("results").export("run.zip").name
            'run.zip'
        """
        from uad_bench.plugins.registry import open_registry
        from uad_bench.sharing.export import export_cells

        file, registry = Path(path).expanduser(), open_registry(self.plugin)
        folder = ResultsFolder(self.folder)
        return export_cells(
            folder, self.cells, file, registry, detectors=detectors, histograms=histograms
        ).path

    def detector(
        self,
        method: str,
        *,
        seed: int | None = None,
        params: str | None = None,
        supervised_on: str | None = None,
    ) -> Detector:
        """Load the detector behind some of these cells.

        Args:
            method: its name.
            seed: which, where there are several.
            params: hash of its parameters, as in ``to_frame``, where there are several.
            supervised_on: the dataset that a supervised method learned from, where there are
                several.

        Raises:
            UadBenchError: there is none, or several.
        """
        from uad_bench.front.detector import load_detector

        found = {
            record.fit.detector: f"seed={record.spec.seed}, params={record.spec.params_hash!r}"
            + (f", supervised_on={record.spec.supervised_on!r}" if record.supervised else "")
            for record in self.stored
            if record.fit is not None
            and record.spec.method == method
            and seed in (None, record.spec.seed)
            and params in (None, record.spec.params_hash)
            and supervised_on in (None, record.spec.supervised_on)
        }
        if not found:
            raise UadBenchError(f"{self.folder}: no detector of {method} behind these cells")
        if len(found) > 1:
            several = "; ".join(found.values())
            raise UadBenchError(f"{self.folder}: several detectors of {method}: say {several}")
        folder = ResultsFolder(self.folder).detectors / next(iter(found))
        return load_detector(folder, plugin=self.plugin)

    def _repr_html_(self) -> str:
        """A line, and the tables, in a notebook."""
        line = f"<p>{escape(repr(self))}</p>"
        return line + self.table()._repr_html_() if self.stored else line


def _listed(names: Iterable[str]) -> str:
    """The first names, each once, and how many more there are."""
    found = list(dict.fromkeys(names))
    more = len(found) - _MOST_LISTED
    return ", ".join(found[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "") or "none"
