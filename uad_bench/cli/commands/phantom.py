"""``uad-bench phantom``: write simulated datasets as NIfTI, each in its dataset's true layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from uad_bench.cli.options import Given, takes
from uad_bench.errors import UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.settings import DatasetSettings

if TYPE_CHECKING:
    from uad_bench.phantom.scan import PhantomScan


@takes(DatasetSettings, "anatomies")
def phantom(
    given: Given,
    out: Annotated[
        Path, typer.Argument(help="Folder to write to; each dataset gets its own in it.")
    ],
    subjects: Annotated[int, typer.Option(min=1, help="People per dataset.")] = 10,
    healthy: Annotated[
        int,
        typer.Option(
            min=0,
            help="Healthy people per dataset beside its patients, of their ages and scanners; of "
            "msi and gbi, whose layout can hold them.",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other people.")] = 0,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="As raw scans in BIDS layout: turned, shifted, on scanners' grids, with the "
            "true way to MNI152 in derivatives/truth.",
        ),
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes at once.")] = 1,
) -> None:
    """Write simulated datasets as NIfTI in their true layouts, skull-stripped, in MNI152 space."""
    from uad_bench.phantom.brain.labelmap import find_label_maps
    from uad_bench.phantom.layouts import refuse_healthy, write_layout
    from uad_bench.phantom.parallel import simulate_in_pool, simulation_pool
    from uad_bench.phantom.raw import raw_phantom, write_raw
    from uad_bench.phantom.specs import DATASETS, dataset_spec
    from uad_bench.runner.config import load_settings

    config = load_settings(given)
    names = tuple(DATASETS) if config.datasets == ("all",) else config.datasets
    anatomies = config.anatomies
    specs = [dataset_spec(name) for name in names]
    if healthy:
        if raw:
            raise UadBenchError("--raw: no healthy people beside patients: leave out --healthy")
        for name in names:
            refuse_healthy(name)
    if anatomies is not None:
        find_label_maps(anatomies)
        if raw:
            raise UadBenchError(
                "--raw needs the true way to MNI152, which only the template has: leave out "
                "--anatomies"
            )
    folders = {name: out / (f"{name}-raw" if raw else _usual_folder(name)) for name in names}
    for name, folder in folders.items():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UadBenchError(
                f"{folder} is not empty: give a new folder for the simulated {name}"
            )
    with LiveProgress(Console(stderr=True)) as progress, simulation_pool(jobs) as pool:
        for spec in specs:
            progress.stage(f"simulating {spec.name}")
            scans = simulate_in_pool(
                spec.name,
                subjects=subjects,
                seed=seed,
                anatomies=anatomies,
                healthy=healthy,
                pool=pool,
                ahead=2 * jobs,
            )
            total = sum(spec.session_count(subject) for subject in range(1, subjects + 1))
            total += healthy  # of one scan each
            counted = _counted(scans, total, progress)
            if raw:
                again = (raw_phantom(spec.name, scan, seed=seed) for scan in counted)
                write_raw(spec.name, folders[spec.name], again)
            else:
                write_layout(spec.name, folders[spec.name], counted)


def _usual_folder(name: str) -> str:
    """The folder name under which a data root has this dataset."""
    folders = open_registry(None).dataset(name).info.folders
    return folders[0] if folders else name


def _counted(
    scans: Iterator[PhantomScan], total: int, progress: LiveProgress
) -> Iterator[PhantomScan]:
    for done, scan in enumerate(scans, start=1):
        yield scan
        progress.step(done, total)
