"""``uad-bench get``: fetch a dataset where its licence allows it; else, say how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import DatasetWords, Given, takes, with_datasets
from uad_bench.cli.output import print_block, print_facts
from uad_bench.cli.streams import echo
from uad_bench.dataset import Dataset, DatasetInfo, Download
from uad_bench.discovery.locate import inspect, locate
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.settings import DatasetSettings

_UNSTATED = (
    "none stated by the publisher: a first copy is checked for being whole, its SHA-256 recorded "
    "in SHA256SUMS and required from then on"
)


@takes(DatasetSettings, "data_root", "plugin", one_dataset=True)
def get(
    given: Given,
    names: DatasetWords = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read the licence and accept it.")
    ] = False,
) -> None:
    """Fetch a dataset whose licence allows it; for the others, show where to register."""
    from uad_bench.runner.config import load_settings

    config = load_settings(with_datasets(given, names))
    data_root = config.data_root
    dataset = open_registry(config.plugin).dataset(config.one_dataset())()
    info = dataset.info
    if info.download is None:
        _print_by_hand(info, data_root)
        return
    if data_root is None:
        raise UadBenchError(f"no folder for {info.name}: give --data-root or set UAD_BENCH_DATA")
    folder = _folder(info, data_root)
    _print_offer(info, info.download, folder)
    if not accept_licence:
        raise UadBenchError(
            f"{info.name} is licensed {info.licence}: read its terms, then give --accept-licence"
        )
    _fetch(dataset, info.download, folder)


def _folder(info: DatasetInfo, data_root: Path) -> Path:
    """Where the dataset lies below the data root, or shall lie."""
    found = locate(info, data_root) if data_root.exists() else None
    return found or data_root / (info.folders[0] if info.folders else info.name)


def _print_by_hand(info: DatasetInfo, data_root: Path | None) -> None:
    root = "DATA_ROOT" if data_root is None else str(data_root)
    print_facts(
        [
            ("dataset", f"{info.name}: {info.title}"),
            ("fetch", "by hand: there is no source that a program may fetch it from"),
            ("obtain", info.obtain),
            ("licence", info.licence),
            ("citation", info.citation),
            ("scans", str(info.expected_scans or "")),
        ]
    )
    print_block(f"Expected layout{f', below {root}' if info.folders else ''}:", info.layout)
    print_block("Then:", f"uad-bench data --datasets {info.name}")


def _print_offer(info: DatasetInfo, download: Download, folder: Path) -> None:
    known = all(file.sha256 for file in download.files)
    print_facts(
        [
            ("dataset", f"{info.name}: {info.title}"),
            ("licence", info.licence),
            ("citation", info.citation),
            ("source", download.sources[0]),
            ("size", f"about {download.megabytes} MB in {len(download.files)} files"),
            ("to", str(folder)),
            ("checksums", "SHA-256 of every file" if known else _UNSTATED),
        ]
    )
    print_block("BibTeX", info.bibtex)
    echo()


def _fetch(dataset: Dataset, download: Download, folder: Path) -> None:
    """Download with a live line, then let the adapter look at the whole dataset."""
    from rich.console import Console

    from uad_bench.front.progress import LiveProgress
    from uad_bench.volumes.files.download import FetchState, fetch

    name = dataset.info.name
    with LiveProgress(Console(stderr=True)) as progress:
        progress.stage(f"fetching {name}")

        def show(state: FetchState) -> None:
            progress.step(state.whole, state.total, f"{state.received / 1e6:.1f} MB received")

        fetched = fetch(download, folder, on_progress=show)
    found = inspect(dataset, folder)
    if found.problems:
        raise UadBenchError(f"{name}: {found.problems[0]}; fetch it again")
    if len(found.scans) < (dataset.info.expected_scans or 0):
        raise UadBenchError(
            f"{name}: {folder} has {len(found.scans)} of {dataset.info.expected_scans} scans"
        )
    kept = len(download.files) - len(fetched)
    echo(
        f"{name}: {len(found.scans)} scans, all files right "
        f"({len(fetched)} fetched, {kept} were there)"
    )
