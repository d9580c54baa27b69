"""``uad-bench validate``: is a dataset fit to be prepared? Every finding at once, worst first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from uad_bench.cli.options import LesionPattern, MaskShift, PluginPaths, open_registry
from uad_bench.cli.streams import echo
from uad_bench.dataset import ReadDataset
from uad_bench.discovery.locate import locate, read_folder
from uad_bench.errors import PluginError, UadBenchError
from uad_bench.plugins.registry import Registry, split_dataset

if TYPE_CHECKING:
    from uad_bench.dataset import Dataset
    from uad_bench.discovery.file_mapping import FileMapping
    from uad_bench.volumes.checks.findings import Finding, Severity

_STYLES: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "dim"}
_LEAST_WIDTH, _FILE_WIDTH = 30, 28
"""Columns left to a message, and given to a file's name, on a terminal."""


def validate(
    target: Annotated[
        str,
        typer.Argument(metavar="DIR|NAME|NAME:PATH", help="A dataset's folder, or its name."),
    ],
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="UAD_BENCH_DATA", help="Folder with the real datasets."),
    ] = None,
    lesion_pattern: LesionPattern = None,
    mask_shift: MaskShift = None,
    plugin: PluginPaths = None,
) -> None:
    """Read every file of a dataset and report all that is wrong or odd, worst first.

    Exits with 1 if there is an error: a scan that cannot be used, or wrong results.
    """
    from uad_bench.discovery.file_mapping import file_mapping, no_file_fits
    from uad_bench.front.progress import LiveProgress
    from uad_bench.volumes.checks.validate import validate_dataset

    dataset, folder = _resolve(
        target, data_root, open_registry(plugin), file_mapping(lesion_pattern)
    )
    reading = read_folder(dataset, folder)
    dataset = ReadDataset(dataset, reading)
    if lesion_pattern is not None and not reading.mapped:
        raise UadBenchError(no_file_fits(lesion_pattern, str(folder)))
    name, total = dataset.info.name, len(reading.scans)
    done: list[str] = []
    with LiveProgress(Console(stderr=True)) as progress:
        progress.stage(f"{name}: {total} scans in {folder}")

        def advance(scan: str) -> None:
            done.append(scan)
            progress.step(len(done), total, scan)

        findings = validate_dataset(dataset, folder, advance, mask_shift or 0.0)
    _print_findings(findings)
    errors = sum(finding.severity == "error" for finding in findings)
    echo(f"{_counts(findings)} in {total} {'scan' if total == 1 else 'scans'} of {name}")
    if errors:
        raise typer.Exit(1)


def _resolve(
    target: str, data_root: Path | None, registry: Registry, mapping: FileMapping | None
) -> tuple[Dataset, Path]:
    """The adapter and the folder that are meant."""
    folder = Path(target).expanduser()
    if folder.is_dir():
        return _adapter(folder, registry, mapping), folder
    if "/" in target.partition(":")[0]:
        raise UadBenchError(f"{target} is no folder; give a dataset's folder, NAME or NAME:PATH")
    name, path = split_dataset(target)
    dataset = _mapped(registry.dataset(name)(), mapping)
    if path is None:
        if not dataset.info.folders:
            raise UadBenchError(f"{name} has no folder of its own; name one, as {name}:PATH")
        if data_root is None:
            raise UadBenchError(f"{name}: no data root is set; give --data-root or {name}:PATH")
        path = locate(dataset.info, data_root)
        if path is None:
            wanted = ", ".join(dataset.info.folders)
            raise UadBenchError(f"{name}: no folder {wanted} in {data_root}; give {name}:PATH")
    if not path.is_dir():
        raise UadBenchError(f"{path} is no folder; give the one that holds the scans of {name}")
    return dataset, path


def _mapped(dataset: Dataset, mapping: FileMapping | None) -> Dataset:
    return dataset if mapping is None else dataset.mapped(mapping)


def _adapter(folder: Path, registry: Registry, mapping: FileMapping | None) -> Dataset:
    """What the adapter read whose folder this is by name, else the one that finds most scans."""
    datasets: list[Dataset] = []
    for name in registry.names("dataset"):
        try:
            datasets.append(_mapped(registry.dataset(name)(), mapping))
        except PluginError:
            continue  # `uad-bench list` says why
    inside = []
    for dataset in datasets:
        place = locate(dataset.info, folder)
        if place is not None and place != folder:
            inside.append(f"{dataset.info.name}:{place}")
        elif place is not None and (reading := read_folder(dataset, folder)).scans:
            return ReadDataset(dataset, reading)
    if inside:
        raise UadBenchError(f"{folder} holds datasets; name one: {', '.join(inside)}")
    read = [ReadDataset(dataset, read_folder(dataset, folder)) for dataset in datasets]
    whole = {dataset: _whole(dataset, folder) for dataset in read}
    best = max(read, key=lambda dataset: (whole[dataset], dataset.info.name == "bids"))
    if not whole[best]:
        names = ", ".join(dataset.info.name for dataset in datasets)
        raise UadBenchError(
            f"{folder} holds no scan in the layout of {names}; `uad-bench data NAME` shows each"
        )
    return best


def _whole(dataset: Dataset, folder: Path) -> int:
    """How many scans an adapter finds whose FLAIR is there."""
    return sum(scan.flair.is_file() for scan in dataset.read(folder).scans)


def _print_findings(findings: Sequence[Finding]) -> None:
    """One line each in columns; on a terminal files go by name and the last column wraps."""
    console = Console(highlight=False)
    rows = [_cells(group, short=console.is_terminal) for group in _grouped(findings)]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    indent = sum(widths) + 2 * len(widths)
    room = max(console.width - indent, _LEAST_WIDTH)
    for severity, *cells, message in rows:
        scan, where = (cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines = textwrap.wrap(message, room) if console.is_terminal else [message]
        console.print(
            Text.assemble(
                (severity.ljust(widths[0]), _STYLES[severity]),
                f"  {scan}  ",
                (where, "dim"),
                "  " + f"\n{' ' * indent}".join(lines),
            ),
            soft_wrap=True,
        )


def _grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Every error and warning alone; notes of the same words together."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        key = finding.message if finding.severity == "note" else finding
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def _cells(group: list[Finding], *, short: bool) -> tuple[Severity, str, str, str]:
    first = group[0]
    scan = first.scan if len(group) == 1 else f"{first.scan} +{len(group) - 1}"
    where = first.where
    if short:
        name = Path(where).name
        where = name if len(name) <= _FILE_WIDTH else f"…{name[1 - _FILE_WIDTH :]}"
    return first.severity, scan, where, first.message


def _counts(findings: Sequence[Finding]) -> str:
    """``1 error, 2 warnings, no notes``."""
    parts = []
    for severity in _STYLES:
        count = sum(finding.severity == severity for finding in findings)
        parts.append(f"{count or 'no'} {severity}{'' if count == 1 else 's'}")
    return ", ".join(parts)
