"""What ``uad-bench --help`` shows: every command, in one line each. Nothing is imported for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from textwrap import wrap

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("uad_bench.cli.commands.run:run", "Tune, train, evaluate and tabulate detectors."),
    "tune": (
        "uad_bench.cli.commands.tune:tune",
        "Choose parameters on healthy validation scans.",
    ),
    "sweep": (
        "uad_bench.cli.commands.sweep:sweep",
        "Train at several values of one parameter, and compare.",
    ),
    "evaluate": (
        "uad_bench.cli.commands.evaluate:evaluate",
        "Score anomaly maps that another program made.",
    ),
    "predict": (
        "uad_bench.cli.commands.predict:predict",
        "Score scans with a detector: anomaly map, mask and picture.",
    ),
    "status": (
        "uad_bench.cli.commands.status:status",
        "Show what the last run has done and what is left.",
    ),
    "table": ("uad_bench.cli.commands.table:table", "Write tables in LaTeX, Markdown or CSV."),
    "compare": (
        "uad_bench.cli.commands.compare:compare",
        "Say how sure it is that one method is better than others.",
    ),
    "report": (
        "uad_bench.cli.commands.report:report",
        "Write one page with tables, figures, and what ran.",
    ),
    "strata": (
        "uad_bench.cli.commands.strata:strata",
        "Show a metric by site, scanner, age, sex or lesion load.",
    ),
    "plot": ("uad_bench.cli.commands.plot:plot", "Draw a figure for a paper."),
    "export": (
        "uad_bench.cli.commands.export:export",
        "Write results into one zip, without images, for somebody else.",
    ),
    "import": (
        "uad_bench.cli.commands.import_:import_results",
        "Add the results in somebody's zip to a results folder.",
    ),
    "share": (
        "uad_bench.cli.commands.share:share",
        "Write a detector to give away, with card and licence.",
    ),
    "reproduce": (
        "uad_bench.cli.commands.reproduce:reproduce",
        "Run the results in a zip again, and say which numbers moved.",
    ),
    "sync": ("uad_bench.cli.commands.sync:sync", "Send to MLflow what a run could not."),
    "ui": ("uad_bench.cli.commands.ui:ui", "Open MLflow on a results folder."),
    "data": (
        "uad_bench.cli.commands.data:data",
        "Show which datasets are found, and what is missing.",
    ),
    "get": ("uad_bench.cli.commands.get:get", "Download a dataset, or say how to obtain it."),
    "validate": (
        "uad_bench.cli.commands.validate:validate",
        "Check a dataset's files before any work.",
    ),
    "prepare": (
        "uad_bench.cli.commands.prepare:prepare",
        "Bring raw scans to the template, and look.",
    ),
    "exclude": ("uad_bench.cli.commands.exclude:exclude", "Leave a subject out, and say why."),
    "atlas": (
        "uad_bench.cli.commands.atlas:atlas",
        "Build the tissue prior of a dataset, or draw one.",
    ),
    "phantom": ("uad_bench.cli.commands.phantom:phantom", "Write simulated datasets as NIfTI."),
    "list": ("uad_bench.cli.commands.list_:list_plugins", "List the plugins of every kind."),
    "show": (
        "uad_bench.cli.commands.show:show",
        "Show what a plugin is, and its parameters or metrics.",
    ),
    "check": (
        "uad_bench.cli.commands.check:check",
        "Check that a plugin keeps its contract.",
    ),
    "new": ("uad_bench.cli.commands.new:new", "Write a commented template of a method or dataset."),
}
"""Per command: where its function is, as ``module:function``, and what ``--help`` says of it.
A command of several, such as ``atlas``, has a typer application in its function's place."""

ABOUT = "Train, tune, evaluate and tabulate brain-MRI anomaly detectors under one protocol."

OPTIONS = {"--version": "Show the version.", "-h, --help": "Show this message."}

HELP_WIDTH = 100
"""Help is no wider than this, even in a wider terminal."""

_NARROWEST = 50


def overview() -> str:
    """Return the help of the program, as wide as the terminal.

    It looks like that of a command, which typer writes. Importing typer takes longer than all else.
    """
    width = max(_NARROWEST, min(shutil.get_terminal_size().columns, HELP_WIDTH) - 2)
    summaries = {name: summary for name, (_, summary) in COMMANDS.items()}
    return "\n".join(
        [
            "Usage: uad-bench [OPTIONS] COMMAND [ARGS]...",
            "",
            *wrap(ABOUT, width, initial_indent="  ", subsequent_indent="  "),
            "",
            "Options:",
            *_in_two_columns(OPTIONS.items(), width),
            "",
            "Commands:",
            *_in_two_columns(summaries.items(), width),
        ]
    )


def _in_two_columns(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield the lines of a list of names and what they are."""
    rows = list(rows)
    left = max(len(name) for name, _ in rows) + 2
    for name, text in rows:
        first, *more = wrap(text, width - left - 2)
        yield f"  {name:{left}}{first}"
        yield from (f"  {'':{left}}{line}" for line in more)
