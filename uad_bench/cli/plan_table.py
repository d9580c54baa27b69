"""The plan of a run and the state of a results folder, as tables on the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from uad_bench.cells import CellRecord
from uad_bench.cli.output import cells_in_words
from uad_bench.results import ResultsFolder
from uad_bench.runner.costs.estimate import Estimate
from uad_bench.runner.plan.job import named
from uad_bench.runner.plan.known import KnownCells
from uad_bench.runner.plan.plan import Plan, PlanFile
from uad_bench.study_record import readable_studies
from uad_bench.system.text import duration


def print_plan(
    plan: Plan, records: tuple[CellRecord, ...], results: ResultsFolder, estimate: Estimate
) -> None:
    """Print what a run would do: data, methods, how many cells are there, and what the rest takes.

    Args:
        plan: the run.
        records: the cells in the results folder.
        results: the folder.
        estimate: what is left takes.
    """
    console = Console(markup=False)  # folders and reasons may have brackets
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
    if estimate.total_s or any(one.unknown for one in estimate.methods):
        console.print(_times(estimate))
    cells = tuple(plan.cells())
    known = KnownCells(records, readable_studies(results.tuning))
    done = sum(map(known.is_done, cells))
    console.print(
        f"{cells_in_words(len(cells))}, {done} of them done in {results.root}; "
        f"protocols: {', '.join(plan.config.protocol)}",
        highlight=False,
    )
    console.print(_in_all(estimate), highlight=False)


def _times(estimate: Estimate) -> Table:
    """What each method takes, stage by stage."""
    table = Table(title="Time left, about", title_justify="left")
    table.add_column("", overflow="fold")
    for column in ("tune", "train", "score", "in all"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("from", overflow="fold")
    if estimate.to_prepare:
        what = f"data of {estimate.to_prepare} scans"
        table.add_row(what, "", "", "", duration(estimate.data_s), "usual times")
    for one in estimate.methods:
        times = (one.tune_s, one.train_s, one.score_s, one.total_s)
        words = [duration(seconds) if seconds else "" for seconds in times]
        name = named(one.planned.method.info.name, one.planned.supervised_on)
        unknown = one.unknown and f"unknown: {one.unknown}"
        table.add_row(name, *words, unknown or one.source or "done")
    return table


def _in_all(estimate: Estimate) -> str:
    """What everything takes, in one line."""
    unknown = sum(bool(one.unknown) for one in estimate.methods)
    if not (estimate.total_s or unknown):
        return "nothing is left to do"
    besides = f", without {unknown} that could not be probed" if unknown else ""
    memory = f" and {estimate.memory_mb / 1000:.1f} GB of memory" if estimate.memory_mb else ""
    time = f"about {duration(estimate.total_s)}, one job after the other"
    return f"{time}{memory}, on {estimate.device}{besides}"


def print_status(file: PlanFile, records: tuple[CellRecord, ...], results: ResultsFolder) -> None:
    """Print the state of every method and dataset of the last run, and how to go on."""
    console, known = Console(markup=False), KnownCells(records, readable_studies(results.tuning))
    found = [(cell, known.find(cell)) for cell in file.cells]
    states: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for cell, record in found:
        states[cell.method, cell.supervised_on, cell.dataset][_state(record)] += 1
    datasets = list(dict.fromkeys(cell.dataset for cell in file.cells))
    table = Table(title="Cells done / planned", title_justify="left")
    table.add_column("method", no_wrap=True)
    for dataset in datasets:
        table.add_column(dataset, justify="right")
    for method, on in dict.fromkeys((cell.method, cell.supervised_on) for cell in file.cells):
        row = []
        for dataset in datasets:
            counts = states[method, on, dataset]
            failed = f", {counts['failed']} failed" if counts["failed"] else ""
            row.append(f"{counts['done']}/{counts.total()}{failed}")
        table.add_row(named(method, on), *row)
    console.print(table)
    reasons = {
        f"{named(record.spec.method, record.spec.supervised_on)} on {record.spec.dataset}: "
        f"{record.reason}"
        for _, record in found
        if record is not None and record.state == "failed"
    }
    for reason in sorted(reasons):
        console.print(f"failed: {reason}", highlight=False, soft_wrap=True)
    if any(_state(record) != "done" for _, record in found):
        # its paths may be relative: elsewhere it would begin anew
        there = "" if file.folder in ("", str(Path.cwd())) else f", in {file.folder},"
        console.print(f"go on{there} with: {file.command}", highlight=False, soft_wrap=True)


def _state(record: CellRecord | None) -> str:
    return "planned" if record is None else record.state
