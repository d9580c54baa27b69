"""Starting: what a user waits for before the first line."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.measure import Row, at_most, timed

_PROGRAM = "import sys; from uad_bench.cli import main; sys.exit(main({words}))"
_GOAL = 0.08


def started(code: str) -> None:
    """Run Python code in a process of its own, and throw away what it prints."""
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)


def measure() -> list[Row]:
    """Take the time of short commands, beside Python alone."""
    codes = {
        "python -c pass": ("pass", None),
        "import uad_bench": ("import uad_bench", _GOAL),
        "uad-bench --help": (_PROGRAM.format(words=["--help"]), _GOAL),
        "uad-bench list": (_PROGRAM.format(words=["list"]), _GOAL),
        "uad-bench table --help": (_PROGRAM.format(words=["table", "--help"]), _GOAL),
        "uad-bench data --help": (_PROGRAM.format(words=["data", "--help"]), None),
        "uad-bench run --help": (_PROGRAM.format(words=["run", "--help"]), None),
    }
    seconds = timed({name: partial(started, code) for name, (code, _) in codes.items()}, 9)
    return [at_most(name, seconds[name], "s", goal) for name, (_, goal) in codes.items()]
