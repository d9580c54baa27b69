"""The plan of a run and the state of a results folder, as tables on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from uad_bench.cells import CellRecord
from uad_bench.cli.output import cells_in_words
from uad_bench.results import ResultsFolder
from uad_bench.runner.plan.job import named
from uad_bench.runner.plan.plan import Plan, PlanFile, PlannedCell, find_record


def print_plan(plan: Plan, records: tuple[CellRecord, ...], results: ResultsFolder) -> None:
    """Print what a run would do: data, methods, and how many cells are there already."""
    console = Console()
    data = Table(title="Data", title_justify="left")
    for column in ("role", "dataset", "from"):
        data.add_column(column, overflow="fold")
    sources = [("training", plan.sources.training)]
    sources += [("supervised on", source) for source in plan.sources.supervised]
    sources += [("evaluated", source) for source in plan.sources.evaluated]
    for role, source in sources:
        data.add_row(role, source.label, str(source.folder or "simulated"))
    console.print(data)
    methods = Table(title="Methods", title_justify="left")
    for column in ("method", "tuning trials", "seeds", "parameters"):
        methods.add_column(column, overflow="fold")
    for planned in plan.methods:
        values = planned.params.model_dump(mode="json", exclude_defaults=True)
        methods.add_row(
            named(planned.method.info.name, planned.supervised_on),
            plan.config.trials_in_words if planned.tuned else "none",
            ", ".join(map(str, planned.seeds)),
            ", ".join(f"{key}={value}" for key, value in values.items()) or "defaults",
        )
    console.print(methods)
    cells = tuple(plan.cells())
    done = _states(cells, records)["done"]
    console.print(
        f"{cells_in_words(len(cells))}, {done} of them done in {results.root}; "
        f"protocols: {', '.join(plan.config.protocol)}",
        highlight=False,
    )


def print_status(file: PlanFile, records: tuple[CellRecord, ...]) -> None:
    """Print the state of every method and dataset of the last run, and how to go on."""
    console = Console()
    datasets = list(dict.fromkeys(cell.dataset for cell in file.cells))
    table = Table(title="Cells done / planned", title_justify="left")
    table.add_column("method", no_wrap=True)
    for dataset in datasets:
        table.add_column(dataset, justify="right")
    for method, on in dict.fromkeys((cell.method, cell.supervised_on) for cell in file.cells):
        row = []
        for dataset in datasets:
            wanted = (method, on, dataset)
            cells = [c for c in file.cells if (c.method, c.supervised_on, c.dataset) == wanted]
            states = _states(cells, records)
            failed = f", {states['failed']} failed" if states["failed"] else ""
            row.append(f"{states['done']}/{len(cells)}{failed}")
        table.add_row(named(method, on), *row)
    console.print(table)
    reasons = {
        f"{named(record.spec.method, record.spec.supervised_on)} on {record.spec.dataset}: "
        f"{record.reason}"
        for cell in file.cells
        if (record := find_record(cell, records)) is not None and record.state == "failed"
    }
    for reason in sorted(reasons):
        console.print(f"failed: {reason}", highlight=False, soft_wrap=True)
    if _states(file.cells, records)["done"] < len(file.cells):
        console.print(f"go on with: {file.command}", highlight=False, soft_wrap=True)


def _states(cells: Iterable[PlannedCell], records: tuple[CellRecord, ...]) -> Counter[str]:
    found = (find_record(cell, records) for cell in cells)
    return Counter("planned" if record is None else record.state for record in found)
