"""A command that was interrupted says what is kept, and how to go on."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING

import typer

from uad_bench.system.text import without_passwords

if TYPE_CHECKING:
    from rich.console import Console


def this_command() -> str:
    """Return the command that was given, without passwords."""
    return without_passwords(shlex.join(["uad-bench", *sys.argv[1:]]))


def same_command() -> str:
    """Return the command that goes on with what was given: ``--overwrite all`` would begin anew."""
    return re.sub(r" --overwrite[ =]all\b", "", this_command())


def interrupted(messages: Console, kept: str) -> typer.Exit:
    """Say how to go on, and return what ends the program.

    Args:
        messages: where to.
        kept: what is kept, as a clause.
    """
    again = f"interrupted: {kept}; go on with: {same_command()}"
    messages.print(again, highlight=False, markup=False, soft_wrap=True)
    return typer.Exit(130)
