"""The program's own streams: no terminal, pipe or closed stream makes a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

_UNABLE = ("strict", "surrogateescape")
"""Ways of a stream to treat a character that it lacks, in which some or all are an error."""


def open_streams() -> None:
    """Make stdout and stderr take every character, and exist.

    A character that the terminal's encoding lacks is replaced. A stream that the caller closed
    becomes the null device; so does its number, so that no file of ours gets it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif isinstance(stream, io.TextIOWrapper):
            errors = "replace" if stream.errors in _UNABLE else stream.errors
            if isinstance(stream.buffer, io.RawIOBase):
                setattr(sys, name, _buffered(stream, errors))
            else:
                stream.reconfigure(errors=errors)


def _buffered(stream: io.TextIOWrapper, errors: str | None) -> TextIO:
    """The same stream, written by line, where Python was asked for no buffer (``python -u``).

    A buffer keeps what could not be written, so that :func:`close_broken_stdout` sees whose error
    it was.
    """
    return os.fdopen(
        stream.fileno(), "w", 1, encoding=stream.encoding, errors=errors, closefd=False
    )


def echo(text: str = "", *, err: bool = False) -> None:
    """Print a line on stdout, or on stderr, as ``open_streams`` left them.

    ``typer.echo`` would wrap a stream in ASCII once more, and write UTF-8 to it.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


def close_broken_stdout() -> OSError | None:
    """Return why stdout takes nothing any more; what still waits for it is dropped.

    ``None`` where stdout is well.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(io.UnsupportedOperation):
            os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return error
    return None
