"""What a failure is: of one method, told in a line, or of the run, which cannot go on."""

from __future__ import annotations

from uad_bench.errors import RunError, UadBenchError
from uad_bench.system.disk import full_disk, is_full


def failure_reason(error: Exception) -> str:
    """One line for a method that failed.

    Raises:
        RunError: if it is the run that cannot go on, not the method: the disk is full.
        KeyboardInterrupt: if Ctrl-C is behind it. Compiled code that is interrupted ends with an
            error of its own.
    """
    if isinstance(error, RunError):
        raise error
    if is_full(error):
        raise full_disk(getattr(error, "filename", None)) from error
    return in_one_line(error)


def in_one_line(error: Exception) -> str:
    """One line for whatever went wrong.

    Raises:
        KeyboardInterrupt: as `failure_reason`.
    """
    if _was_interrupted(error):
        raise KeyboardInterrupt from error
    text = next(iter(str(error).strip().splitlines()), "no message")
    if isinstance(error, MemoryError):
        return f"not enough memory ({text}): use a machine with more"
    return text if isinstance(error, UadBenchError) else f"{type(error).__name__}: {text}"


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is an interrupt."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
