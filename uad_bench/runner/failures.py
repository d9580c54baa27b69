"""What a failure is: of one method, told in a line, or of the run, which cannot go on."""

from __future__ import annotations

from uad_bench.errors import DeviceMemoryError, DivergenceError, PluginError, UadBenchError
from uad_bench.system.disk import full_disk, is_full

_OF_ONE_METHOD = (DeviceMemoryError, DivergenceError, PluginError)


def failure_reason(error: Exception) -> str:
    """One line for a method that failed.

    Raises:
        UadBenchError: if it is the run that cannot go on, not the method: the disk is full.
    """
    if isinstance(error, UadBenchError) and not isinstance(error, _OF_ONE_METHOD):
        raise error
    if is_full(error):
        raise full_disk(getattr(error, "filename", None)) from error
    text = next(iter(str(error).strip().splitlines()), "no message")
    if isinstance(error, MemoryError):
        return f"not enough memory ({text}): use a machine with more"
    return text if isinstance(error, UadBenchError) else f"{type(error).__name__}: {text}"
