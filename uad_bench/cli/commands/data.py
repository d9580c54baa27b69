"""``uad-bench data``: where each dataset was looked for, what is there, and what is missing."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.text import Text

from uad_bench.cli.options import DatasetWords, Given, takes, with_datasets
from uad_bench.dataset import Dataset, DatasetInfo, LeftFile, Scan, Split
from uad_bench.discovery.locate import Found, grouped, inspect, locate
from uad_bench.errors import PluginError, UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import ScannerFacts
from uad_bench.runner.data.named import named_dataset
from uad_bench.runner.settings import DatasetSettings, FileSettings

_LABEL_WIDTH = 12
_PROBLEMS_SHOWN = 5
_NOTHING = "nothing"
_WARNINGS = {"missing", "problem", "people", "incomplete", "unclaimed"}

Row = tuple[str, str]


@takes(DatasetSettings, FileSettings)
def data(given: Given, names: DatasetWords = None) -> None:
    """Show where each dataset is looked for, what is found, what is missing and how to get it.

    Datasets that are named are shown in full; without a name, all are shown in short.
    """
    from uad_bench.discovery.file_mapping import file_mapping
    from uad_bench.runner.config import load_settings

    config = load_settings(with_datasets(given, names))
    full, data_root = config.datasets != ("all",), config.data_root
    registry, mapping = open_registry(config.plugin), file_mapping(config.lesion_pattern)
    console = Console(highlight=False)
    doubtful, is_placed = [], True
    for word in config.datasets if full else registry.names("dataset"):
        try:
            dataset, path = named_dataset(word, registry, mapping)
        except PluginError as error:
            if full:
                raise
            _print_rows(console, word, "", [("problem", str(error))])
            doubtful.append(word)
            continue
        is_placed = is_placed and path is not None
        rows = list(_rows(dataset, path, data_root, full=full))
        if mapping is not None and full and not any(label == "mapped" for label, _ in rows):
            rows.append(("mapped", "no file, by --lesion-pattern"))
        _print_rows(console, dataset.info.name, dataset.info.title, rows)
        if any(_warns(row) for row in rows):
            doubtful.append(word)
    if not full:
        console.print(
            "`uad-bench data --datasets NAME` shows a dataset's layout, facts, licence and "
            "citation.",
            soft_wrap=True,
        )
    if data_root is None and not is_placed:
        console.print(
            "No data root is set: `uad-bench run` works on simulated datasets.", soft_wrap=True
        )
    if doubtful:
        console.print(
            f"Look again at {', '.join(doubtful)}: something is missing or wrong there (above). "
            "`data` lists and exits with 0; `uad-bench validate --datasets NAME` checks and exits "
            "with 1.",
            style="yellow",
            soft_wrap=True,
            markup=False,
        )


def _warns(row: Row) -> bool:
    """Whether a row says that something is missing or wrong."""
    label, text = row
    return label in _WARNINGS and text != _NOTHING


def _rows(dataset: Dataset, path: Path | None, data_root: Path | None, full: bool) -> Iterator[Row]:
    """What there is to say about one dataset: pairs of label and text."""
    info = dataset.info
    yield "looked in", _places(info, path, data_root)
    folder = path
    if path is None and info.folders and data_root is not None:
        try:
            folder = locate(info, data_root)
        except UadBenchError as error:
            if not data_root.is_dir():  # it is wrong for every dataset
                raise
            yield "problem", str(error)
            return
    found = None
    if folder is not None:
        try:
            found = inspect(dataset, folder)
        except UadBenchError as error:
            yield "problem", str(error)
        else:
            yield from _contents(found, info, full)
    elif data_root is not None and info.folders:
        yield "found", _NOTHING
    if folder is None:
        yield "set", _setting(info)
    if full or found is None or found.problems or _absent(found, info):
        yield "obtain", info.obtain
    if full:
        yield from _facts(info)


def _places(info: DatasetInfo, path: Path | None, data_root: Path | None) -> str:
    if path is not None:
        return str(path)
    if not info.folders:
        return f"no folder of its own: name one, as {info.name}:PATH"
    if data_root is None:
        return "nowhere: no data root is set"
    return f"{data_root} for {', '.join(info.folders)} (any letter case)"


def _setting(info: DatasetInfo) -> str:
    if not info.folders:
        return f"--datasets {info.name}:PATH"
    return f"--data-root DIR or UAD_BENCH_DATA=DIR, where DIR holds the folder {info.folders[0]}"


def _contents(found: Found, info: DatasetInfo, full: bool) -> Iterator[Row]:
    from uad_bench.phantom.layouts import is_simulated

    mark = " (simulated)" if is_simulated(found.folder) else ""
    yield "found", f"{found.folder}{mark}"
    yield "scans", _count(found.scans)
    yield "splits", _tally(scan.split for scan in found.scans)
    for split in get_args(Split) if full else ():
        if there := [scan.name for scan in found.scans if scan.split == split]:
            yield split, ", ".join(there)
    yield "masks", _masks(found)
    yield from (("masks", note) for note in found.mask_notes)
    yield "healthy", _healthy(found) or "nobody is said to be"
    sites = [scan.site for scan in found.scans if scan.site is not None]
    if sites:
        yield "sites", _tally(sites)
    shown = found.problems if full else found.problems[:_PROBLEMS_SHOWN]
    lines = [problem.removesuffix(" is missing") for problem in shown]
    if len(found.problems) > len(shown):
        lines.append(f"and {len(found.problems) - len(shown)} more files")
    if absent := _absent(found, info):
        lines.append(f"{absent} of the published dataset's {info.expected_scans} scans")
    yield "missing", "\n".join(lines) or _NOTHING
    if found.incomplete:
        shown = found.incomplete if full else found.incomplete[:_PROBLEMS_SHOWN]
        count, more = len(found.incomplete), len(found.incomplete) - len(shown)
        names = ", ".join(shown) + (f" and {more} more" if more else "")
        yield "incomplete", f"{count} with no lesion mask, and nobody says healthy: {names}"
    yield "unclaimed", "\n".join(_grouped(found.unclaimed, found.folder, full)) or _NOTHING
    if left := list(_grouped(found.left, found.folder, full)):
        yield "left out", "\n".join(left)
    if found.mapped:
        yield "mapped", f"{found.mapped} files, by --lesion-pattern"
    if found.waived:
        yield "waived", f"{found.waived} files, by .bidsignore"
    if found.people is not None:
        lines = [
            *found.people.notes,
            *found.people.mismatches(scan.subject for scan in found.scans),
        ]
        yield from (("people", f"{found.people.path.name}: {line}") for line in lines)


def _masks(found: Found) -> str:
    """``12 of lesions, for 10 scans``: how many lesion masks are there, and in how many scans."""
    there = [[path for path in scan.lesion if path.is_file()] for scan in found.scans]
    masks, scans = sum(map(len, there)), sum(map(bool, there))
    return f"{masks} of lesions, for {scans} {'scan' if scans == 1 else 'scans'}"


def _grouped(files: Sequence[LeftFile], folder: Path, full: bool) -> Iterator[str]:
    """One line per reason with the number of files and their names, the first of them in short."""
    for reason, paths in grouped(files).items():
        names = [path.relative_to(folder).as_posix() for path in paths]
        shown = names if full else names[:_PROBLEMS_SHOWN]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        yield f"{len(names)} {'file' if len(names) == 1 else 'files'}: {reason}"
        yield f"  {', '.join(shown)}{more}"


def _healthy(found: Found) -> str:
    """How many subjects are said to be healthy, and by what; empty where nobody says it."""
    count = len({scan.subject for scan in found.scans if scan.healthy})
    if not count:
        return ""
    people = found.people
    if people is None or not people.columns:
        return f"{count} (all of this dataset's people)"
    return f"{count} ({people.path.name}, column {' and '.join(people.columns)})"


def _absent(found: Found, info: DatasetInfo) -> int:
    """How many scans fewer there are than the published dataset has."""
    return max((info.expected_scans or 0) - len(found.scans), 0)


def _count(scans: tuple[Scan, ...]) -> str:
    """``21 (5 subjects, 4 to 5 sessions each)``; no sessions where there are none."""
    subjects = len({scan.subject for scan in scans})
    text = f"{subjects} {'subject' if subjects == 1 else 'subjects'}"
    if any(scan.session is not None for scan in scans):
        sessions = Counter(scan.subject for scan in scans).values()
        low, high = min(sessions), max(sessions)
        each = str(low) if low == high else f"{low} to {high}"
        text += f", {each} {'session' if high == 1 else 'sessions'} each"
    return f"{len(scans)} ({text})"


def _tally(values: Iterator[str] | list[str]) -> str:
    return ", ".join(f"{value} {count}" for value, count in sorted(Counter(values).items()))


def _facts(info: DatasetInfo) -> Iterator[Row]:
    yield "layout", info.layout
    yield "disease", info.disease
    if (printed := BERCEA_2022.data.get(info.name)) is not None:
        yield "Table 1", _table_1(printed)
    for note in info.notes:
        yield "note", note
    yield "licence", info.licence
    yield "citation", info.citation
    yield "BibTeX", info.bibtex


def _table_1(facts: ScannerFacts) -> str:
    """What the paper's Table 1 says, in one line."""
    parts = [facts.scanner]
    if facts.resolution_mm is not None:
        parts.append(" x ".join(f"{size:g}" for size in facts.resolution_mm) + " mm")
    if facts.tr_te_ti_s is not None:
        parts.append("TR/TE/TI " + "/".join(f"{time:g}" for time in facts.tr_te_ti_s) + " s")
    if facts.age is not None:
        parts.append(f"age {facts.age}")
    if facts.female_percent is not None:
        parts.append(f"{facts.female_percent} % female")
    parts.append("train/validation/test " + "/".join(str(count) for count in facts.splits))
    return "; ".join(parts)


def _print_rows(console: Console, name: str, title: str, rows: list[Row]) -> None:
    """One block: labels in a column, texts wrapped on a terminal and left whole in a pipe."""
    console.print(Text.assemble((name, "bold"), f"  {title}"), soft_wrap=True)
    width = max(console.width - _LABEL_WIDTH - 2, 20)
    for label, text in rows:
        lines = text.splitlines()
        if console.is_terminal and len(lines) == 1:
            lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        style = "yellow" if _warns((label, text)) else ""
        for number, line in enumerate(lines):
            head = label if number == 0 else ""
            console.print(
                Text.assemble((f"  {head:<{_LABEL_WIDTH}}", "dim"), (line, style)), soft_wrap=True
            )
    console.print()
