"""What a failure is: of one method, told in a line, or of the run, which cannot go on."""

from __future__ import annotations

from uad_bench.errors import RunError, UadBenchError
from uad_bench.system.disk import full_disk, is_full

_OF_THE_CPU = "can't allocate memory"
_OF_A_DEVICE = ("out of memory", "STATUS_ALLOC_FAILED")
"""What torch says, and the libraries that it calls, where a CPU or a GPU has no memory left."""


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
    is_of_torch = isinstance(error, RuntimeError)
    if isinstance(error, MemoryError) or (is_of_torch and _OF_THE_CPU in text):
        return f"not enough memory ({text}): use a machine with more"
    if is_of_torch and any(words in text for words in _OF_A_DEVICE):
        short = text.partition(". ")[0]
        return f"the device has too little memory ({short}): lower batch_size, or use device cpu"
    return text if isinstance(error, UadBenchError) else f"{type(error).__name__}: {text}"


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is an interrupt."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
