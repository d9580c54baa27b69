"""The command line: one file per command, imported only when that command runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from uad_bench.cli.overview import overview
from uad_bench.cli.streams import close_broken_stdout, echo, open_streams
from uad_bench.errors import UadBenchError
from uad_bench.system.disk import full_disk, is_full
from uad_bench.system.text import is_text
from uad_bench.system.threads import set_threads

EXIT_CUT_OFF = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

_HELP = {"--help", "-h"}


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
    try:
        _refuse_bytes(given)
        if _HELP.issuperset(given):
            echo(overview())
            return 0
        from uad_bench.cli.application import run_command  # typer takes most of a start

        code = run_command(given)
        sys.stdout.flush()
    except UadBenchError as error:
        return _fail(str(error))
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        return _fail(f"not enough memory{detail}: use fewer jobs (-j 1) or a machine with more")
    except OSError as error:
        return _fail_for_system(error)
    except KeyboardInterrupt:
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
