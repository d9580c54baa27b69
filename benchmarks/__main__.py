"""Measure every piece, print the table, and write it to a page.

    python -m benchmarks [PIECE ...] [--page docs/performance.md]

Needs the extra ``benchmarks``: the programs that users would pick instead. Each piece runs in a
process of its own, with one thread unless it says otherwise. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import benchmarks
from benchmarks.measure import Row
from benchmarks.page import page, screen
from uad_bench.system.threads import set_threads

_NO_PIECES = ("measure", "page", "device", "costs", "__main__")


def pieces() -> tuple[str, ...]:
    """Return the names of the pieces: the modules that have ``measure()``."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return tuple(name for name in found if name not in _NO_PIECES and not name.startswith("_"))


def measured(piece: str) -> list[Row]:
    """Measure one piece in a process of its own, whose threads follow from its ``THREADS``."""
    threads = getattr(import_module(f"benchmarks.{piece}"), "THREADS", 1)
    counts = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads)
    )
    environment = os.environ | counts
    set_threads(environment)  # as the command line does
    command = [sys.executable, "-m", "benchmarks", "--json", piece]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{piece}: it ended with {done.returncode}; see the lines above")
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = ", ".join(pieces())
    parser.add_argument("piece", nargs="*", metavar="PIECE", help=f"default: all of {known}")
    parser.add_argument("--page", type=Path, help="write the table to this Markdown file")
    parser.add_argument("--json", action="store_true", help="print the rows of one piece as JSON")
    options = parser.parse_args()
    if unknown := sorted(set(options.piece) - set(pieces())):
        parser.error(f"no piece {', '.join(unknown)}; there are: {known}")
    if options.json:
        rows = import_module(f"benchmarks.{options.piece[0]}").measure()
        print(json.dumps([asdict(row) for row in rows]))
        return
    tables: dict[str, list[Row]] = {}
    for piece in options.piece or pieces():
        title = (import_module(f"benchmarks.{piece}").__doc__ or piece).splitlines()[0]
        tables[title] = measured(piece)
        print(screen(title, tables[title]), flush=True)
    if options.page:
        options.page.write_text(page(tables), encoding="utf-8")
        print(f"page: {options.page}")


if __name__ == "__main__":
    main()
