"""The command line: one file per command, imported only when that command runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, cast

import typer

from uad_bench import __version__
from uad_bench.cli.command import Command
from uad_bench.cli.streams import close_broken_stdout, echo, open_streams
from uad_bench.errors import UadBenchError
from uad_bench.system.disk import full_disk, is_full
from uad_bench.system.text import is_text
from uad_bench.system.threads import set_threads

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

EXIT_CUT_OFF = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

# typer exports BadParameter but not its root, which has lived in click and then in typer.
_CommandLineError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the command line without the program's name; by default the process's own.

    Returns:
        0 when all went well, 1 where the reader of stdout went away, 2 for bad input (one line on
        stderr), 130 after Ctrl-C or SIGTERM, or what the command asks for.
    """
    if (
        arguments is None
    ):  # a cluster sends SIGTERM before it kills: time enough to say how to go on
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    open_streams()
    set_threads(os.environ)
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    invoked = next((word for word in given if not word.startswith("-")), None)
    try:
        _refuse_bytes(given)
        code = _app(invoked)(args=given, prog_name="uad-bench", standalone_mode=False)
        sys.stdout.flush()
    except UadBenchError as error:
        return _fail(str(error))
    except _CommandLineError as error:
        path = error.ctx.command_path if error.ctx else "uad-bench"
        return _fail(f"{error.format_message().rstrip('.')}; see {path} --help")
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        return _fail(f"not enough memory{detail}: use fewer jobs (-j 1) or a machine with more")
    except OSError as error:
        return _fail_for_system(error)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


def _refuse_bytes(words: Sequence[str]) -> None:
    """Refuse a word that could not be written into results, such as a folder's Latin-1 name."""
    for word in words:
        if not is_text(word):
            shown = os.fsencode(word).decode(errors="replace")
            raise UadBenchError(f"{shown}: not UTF-8; rename it")


def _fail(message: str) -> int:
    """Say what is wrong, in one line on stderr."""
    with suppress(OSError):  # where stderr is gone too, nobody can be told
        echo(f"error: {' '.join(message.split())}", err=True)
    return EXIT_BAD_INPUT


def _fail_for_system(error: OSError) -> int:
    """Say what the machine refused; a reader who went away, as ``head`` does, is told nothing."""
    broken = close_broken_stdout()
    if isinstance(error, BrokenPipeError):
        return EXIT_CUT_OFF
    where = error.filename if broken is None else "standard output"
    if is_full(error):
        return _fail(str(full_disk(where)))
    return _fail(f"{error.strerror or error}{'' if where is None else f': {where}'}")


def _app(invoked: str | None) -> typer.Typer:
    """The application. Only the invoked command is imported; of the others, help is known."""
    app = typer.Typer(
        add_completion=False,
        add_help_option=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    for name, (target, summary) in COMMANDS.items():
        if name != invoked:
            app.command(name, help=summary)(_not_invoked)
        elif isinstance(found := _function(target), typer.Typer):
            app.add_typer(found, name=name, help=summary)
        else:
            app.command(name, cls=Command, short_help=summary)(found)
    return app


def _function(target: str) -> Callable[..., object]:
    """Import ``module:function``."""
    module, _, name = target.partition(":")
    return cast("Callable[..., object]", getattr(import_module(module), name))


def _not_invoked() -> None:
    """Stand for a command that is not the invoked one, so that its module stays unloaded."""


def _print_version(asked: bool) -> None:
    if asked:
        echo(f"uad-bench {__version__}")
        raise typer.Exit


def _print_help(context: typer.Context, asked: bool) -> None:
    if asked:
        echo(context.get_help())
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
    show_help: Annotated[
        bool,
        typer.Option(
            "--help", "-h", callback=_print_help, is_eager=True, help="Show this message."
        ),
    ] = False,
) -> None:
    """Train, tune, evaluate and tabulate brain-MRI anomaly detectors under one protocol."""
