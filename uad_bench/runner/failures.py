"""What a failure is: of one method, told in a line, or of the run, which cannot go on."""

from __future__ import annotations

import errno

from uad_bench.errors import DivergenceError, PluginError, UadBenchError


def failure_reason(error: Exception) -> str:
    """One line for a method that failed.

    Raises:
        UadBenchError: if it is the run that cannot go on, not the method.
        OSError: if the disk is full.
    """
    if isinstance(error, UadBenchError) and not isinstance(error, DivergenceError | PluginError):
        raise error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise error
    text = next(iter(str(error).strip().splitlines()), "no message")
    return text if isinstance(error, UadBenchError) else f"{type(error).__name__}: {text}"
