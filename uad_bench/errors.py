"""The one exception of this package: a message for the user, never a traceback."""


class UadBenchError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, what to do.

    Examples:
        >>> import uad_bench as ub
        >>> try:
        ...     ub.load_results("nowhere")
        ... except ub.UadBenchError as error:
        ...     print(error)
        no results in nowhere: `uad-bench run` writes them, --results names it
    """


class RunError(UadBenchError):
    """What stops a whole run, whichever method met it: a full disk, a database that fails."""


class PluginError(UadBenchError):
    """A method or dataset plugin that cannot be found, loaded or trusted."""


class ScanError(UadBenchError):
    """One scan that cannot be used. The dataset goes on without it and names it."""


class DivergenceError(UadBenchError):
    """A training run whose loss is no longer a finite number."""


class DeviceMemoryError(UadBenchError):
    """A method that needs more memory than its device has."""
