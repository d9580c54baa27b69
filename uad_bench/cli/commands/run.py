"""``uad-bench run``: tune, train, evaluate and tabulate."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from uad_bench.cli.options import (
    Anatomies,
    AtlasFolder,
    Cache,
    ConfigFile,
    DataRoot,
    Device,
    Jobs,
    LesionPattern,
    Limit,
    MaskShift,
    Overwrite,
    Parameters,
    Phantoms,
    PluginPaths,
    PostProcessings,
    Preset,
    Protocols,
    Recipe,
    Results,
    Seeds,
    Space,
    Template,
    Tissues,
    Train,
    open_registry,
    parameters,
)
from uad_bench.cli.output import cells_in_words
from uad_bench.cli.tables import print_tables
from uad_bench.front.progress import LiveProgress
from uad_bench.front.results import Results as RunResults
from uad_bench.front.run import compute
from uad_bench.results import ResultsFolder, stored_cells
from uad_bench.runner.config import RunConfig, load_config


def run(
    methods: Annotated[str | None, typer.Option(help="Methods, separated by commas.")] = None,
    datasets: Annotated[
        str | None, typer.Option(help="Datasets, bids:PATH, or all.  [default: all]")
    ] = None,
    data_root: DataRoot = None,
    train: Train = None,
    controls: Annotated[
        str | None,
        typer.Option(
            help="Controls in every table.  [default: those that say so, as `list` shows them]"
        ),
    ] = None,
    preset: Preset = None,
    param: Parameters = None,
    protocol: Protocols = None,
    postprocessing: PostProcessings = None,
    space: Space = None,
    recipe: Recipe = None,
    template: Template = None,
    tissues: Tissues = None,
    lesion_pattern: LesionPattern = None,
    mask_shift: MaskShift = None,
    atlas: AtlasFolder = None,
    seeds: Seeds = None,
    trials: Annotated[
        int | None, typer.Option(help="Tuning trials per method.  [default: 3]")
    ] = None,
    tune: Annotated[
        bool | None, typer.Option("--tune/--no-tune", help="Tune beta and SNR.  [default: tune]")
    ] = None,
    phantoms: Phantoms = None,
    anatomies: Anatomies = None,
    limit: Limit = None,
    device: Device = None,
    results: Results = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = None,
    mlflow: Annotated[
        bool | None, typer.Option("--mlflow/--no-mlflow", help="Send cells to MLflow.")
    ] = None,
    plugin: PluginPaths = None,
    config: ConfigFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check files, print the plan and stop.")
    ] = False,
) -> None:
    """Tune, train, evaluate and tabulate detectors on every dataset.

    Without --data-root everything runs on simulated datasets. Finished cells are kept: the same
    command goes on where an interrupted one stopped.
    """
    given: dict[str, Any] = {
        "methods": methods,
        "datasets": datasets,
        "data_root": data_root,
        "train": train,
        "controls": controls,
        "preset": preset,
        "param": parameters(param),
        "protocol": protocol,
        "postprocessing": postprocessing,
        "space": space,
        "recipe": recipe,
        "template": template,
        "tissues": tissues,
        "lesion_pattern": lesion_pattern,
        "mask_shift": mask_shift,
        "atlas": atlas,
        "seeds": seeds,
        "trials": trials,
        "tune": tune,
        "phantoms": phantoms,
        "anatomies": anatomies,
        "limit": limit,
        "device": device,
        "results": results,
        "cache": cache,
        "jobs": jobs,
        "overwrite": overwrite,
        "mlflow": mlflow,
        "plugin": tuple(plugin) if plugin else None,
    }
    settings = load_config(config, given)
    messages = Console(stderr=True)
    if dry_run:
        _show_plan(settings, messages)
        return
    done = _run(settings, messages)
    if done.cells:
        print_tables(done.table().tables)
    messages.print(
        f"{cells_in_words(len(done.cells))}, {done.computed} computed now, in {done.folder}; "
        f"`uad-bench table --results {done.folder} -f latex` writes the tables",
        highlight=False,
        soft_wrap=True,
    )
    if done.failed:
        count = cells_in_words(len(done.failed))
        messages.print(f"{count} failed; the table's footnotes say why", style="red")
        raise typer.Exit(1)


def _run(config: RunConfig, messages: Console) -> RunResults:
    """Do the run; say how to go on where it is interrupted."""
    command = shlex.join(["uad-bench", *sys.argv[1:]])
    try:
        with LiveProgress(messages) as progress:
            return compute(config, (progress,), command=command)
    except KeyboardInterrupt:
        again = re.sub(r" --overwrite[ =]all\b", "", command)
        messages.print(
            f"interrupted: finished cells are in {config.results}; go on with: {again}",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None


def _show_plan(config: RunConfig, messages: Console) -> None:
    """Check files and print what a run would do; write nothing."""
    from uad_bench.cli.plan_table import print_plan
    from uad_bench.runner.data.gather import check_files
    from uad_bench.runner.environment import resolve_device
    from uad_bench.runner.plan.plan import make_plan
    from uad_bench.runner.store import CellStore

    plan = make_plan(config, open_registry(config.plugin), resolve_device(config.device))
    results = ResultsFolder(config.results)
    with LiveProgress(messages) as progress:
        for note in plan.notes:
            progress.note(note)
        CellStore.of(plan, progress).refuse_other_versions(plan.cells())
        check_files(config, plan.sources, progress)
    print_plan(plan, stored_cells(results), results)
