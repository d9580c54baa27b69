"""``uad-bench validate``: is a dataset fit to be prepared? Every finding at once, worst first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from uad_bench.cli.options import DatasetWords, Given, takes, with_datasets
from uad_bench.cli.streams import echo
from uad_bench.dataset import ReadDataset
from uad_bench.discovery.locate import locate, read_folder
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.data.named import named_dataset
from uad_bench.runner.settings import DatasetSettings, FileSettings

if TYPE_CHECKING:
    from uad_bench.dataset import Dataset
    from uad_bench.discovery.file_mapping import FileMapping
    from uad_bench.runner.config import RunConfig
    from uad_bench.volumes.checks.findings import Finding, Severity

_STYLES: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "dim"}
_LEAST_WIDTH, _FILE_WIDTH = 30, 28
"""Columns left to a message, and given to a file's name, on a terminal."""


@takes(DatasetSettings, FileSettings, "mask_shift")
def validate(given: Given, names: DatasetWords = None) -> None:
    """Read every file of a dataset and report all that is wrong or odd, worst first.

    A dataset's folder may be given alone. `all` is every dataset in the data root. Exits with 1 if
    there is an error: a scan that cannot be used, or wrong results.
    """
    from uad_bench.discovery.file_mapping import file_mapping, no_file_fits
    from uad_bench.runner.config import load_settings

    config = load_settings(with_datasets(given, names))
    pattern = config.lesion_pattern
    found = [
        (dataset, folder, read_folder(dataset, folder))
        for dataset, folder in _found(config, file_mapping(pattern))
    ]
    if pattern is not None and not any(reading.mapped for _, _, reading in found):
        raise UadBenchError(no_file_fits(pattern, ", ".join(str(folder) for _, folder, _ in found)))
    errors = [
        _validate(ReadDataset(dataset, reading), folder, config.mask_shift)
        for dataset, folder, reading in found
    ]
    if any(errors):
        raise typer.Exit(1)


def _found(config: RunConfig, mapping: FileMapping | None) -> list[tuple[Dataset, Path]]:
    """The datasets that are named, with their folders.

    Raises:
        UadBenchError: one that is unknown or not there, or none at all.
    """
    registry, root = open_registry(config.plugin), config.data_root
    if config.datasets != ("all",):
        return [_place(*named_dataset(word, registry, mapping), root) for word in config.datasets]
    if root is None:
        raise UadBenchError("say what to check: --datasets NAME:PATH, or --data-root DIR")
    datasets = [named_dataset(name, registry, mapping)[0] for name in registry.names("dataset")]
    found = [(one, locate(one.info, root)) for one in datasets]
    there = [(one, folder) for one, folder in found if folder is not None]
    if not there:
        raise UadBenchError(f"no dataset in {root}: `uad-bench data` shows what is expected where")
    return there


def _place(dataset: Dataset, path: Path | None, data_root: Path | None) -> tuple[Dataset, Path]:
    """A dataset with its folder: the one that was named with it, else that in the data root."""
    name = dataset.info.name
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


def _validate(dataset: Dataset, folder: Path, mask_shift: float) -> int:
    """Check one dataset, print what was found, and return the number of errors."""
    from uad_bench.front.progress import LiveProgress
    from uad_bench.volumes.checks.validate import validate_dataset

    name, total = dataset.info.name, len(dataset.read(folder).scans)
    done: list[str] = []
    with LiveProgress(Console(stderr=True)) as progress:
        progress.stage(f"{name}: {total} scans in {folder}")

        def advance(scan: str) -> None:
            done.append(scan)
            progress.step(len(done), total, scan)

        findings = validate_dataset(dataset, folder, advance, mask_shift)
    _print_findings(findings)
    echo(f"{_counts(findings)} in {total} {'scan' if total == 1 else 'scans'} of {name}")
    return sum(finding.severity == "error" for finding in findings)


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
