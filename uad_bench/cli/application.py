"""The typer application: one file per command, imported only when that command runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, cast

import typer

from uad_bench import __version__
from uad_bench.cli.command import Command
from uad_bench.cli.overview import ABOUT, COMMANDS, HELP_WIDTH, OPTIONS, overview
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError

# typer exports BadParameter but not its root, which has lived in click and then in typer.
_CommandLineError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])


def run_command(words: Sequence[str]) -> object:
    """Run what a command line asks for, and return what its command returns.

    Args:
        words: the command line without the program's name.

    Raises:
        UadBenchError: a command line that cannot be understood, or what the command refuses.
        KeyboardInterrupt: a question of the command's was not answered.
    """
    invoked = next((word for word in words if not word.startswith("-")), None)
    try:
        app = _application(invoked)
        return app(args=list(words), prog_name="uad-bench", standalone_mode=False)
    except _CommandLineError as error:
        path = error.ctx.command_path if error.ctx else "uad-bench"
        raise UadBenchError(f"{error.format_message().rstrip('.')}; see {path} --help") from error
    except typer.Abort:
        raise KeyboardInterrupt from None


def _application(invoked: str | None) -> typer.Typer:
    """The application. Only the invoked command is imported; of the others, help is known."""
    app = typer.Typer(
        add_completion=False,
        add_help_option=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH},
    )
    app.callback(help=ABOUT)(_root)
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


def _print_help(asked: bool) -> None:
    if asked:
        echo(overview())
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help=OPTIONS["--version"]
        ),
    ] = False,
    show_help: Annotated[
        bool,
        typer.Option(
            "--help", "-h", callback=_print_help, is_eager=True, help=OPTIONS["-h, --help"]
        ),
    ] = False,
) -> None:
    """Hold the options of the program itself."""
