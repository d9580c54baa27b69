"""What each method costs with its default parameters, for its card in the reference.

    python -m benchmarks.costs [--file docs/reference/costs.json] [METHOD...]

Every method runs in a process of its own, on slices of noise in an ellipse: it learns for some
steps, and scores a scan. What an ensemble costs to train is what its members do. A method that
needs a file of the user's is left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._slices import DEPTH, context, slices
from benchmarks.page import machine
from uad_bench.method import Method, member_field, members_of
from uad_bench.plugins.registry import open_registry

FILE = Path("docs/reference/costs.json")
_TRAINING = 2 * DEPTH
_STEPS = 31
"""Progress is told every ten steps: the first ten warm up, the next twenty are timed."""


def main() -> None:
    """Measure, and write the file; what it says of other methods stays."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    parser.add_argument("--file", type=Path, default=FILE, help=f"default: {FILE}")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.methods[0])))
        return
    known = (
        json.loads(options.file.read_text(encoding="utf-8"))
        if options.file.is_file()
        else {"methods": {}}
    )
    for name in options.methods or open_registry(None).names("method"):
        command = [sys.executable, "-m", "benchmarks.costs", "--one", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name}: {(done.stderr.splitlines() or ['failed'])[-1]}")
            continue
        known["methods"][name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {known['methods'][name]}")
        known["machine"] = machine()
        known["slices"] = " x ".join(map(str, slices(1).image.shape[2:]))
        options.file.write_text(
            f"{json.dumps(known, indent=1, sort_keys=True)}\n", encoding="utf-8"
        )


def measured(name: str) -> dict[str, float]:
    """Return what a method costs: seconds, and megabytes."""
    method = open_registry(None).method(name)
    before = _peak_mb()
    data, scan = slices(_TRAINING), slices(DEPTH)
    if method.info.supervised:
        data = replace(data, lesion=(data.image > 0.6).astype(np.uint8))
    told: list[tuple[int, float]] = []

    def report(step: int, *_: object) -> None:
        told.append((step, time.perf_counter()))

    members = {member_field(one): one for one in members_of(method)}
    given: dict[str, Any] = {name: _short(one) for name, one in members.items()} or _short(method)
    fitted = method(method.resolve(method.Params(**given)))
    here = context(report=report)
    start = time.perf_counter()
    fitted.fit(data, data, here)
    fitted.calibrate(data, here)
    found = {} if members else {"fit_s": time.perf_counter() - start}
    if given and len(told) > 2:
        (first, at), (last, end) = told[0], told[2]
        found = {"step_s": (end - at) / (last - first)}
    start = time.perf_counter()
    fitted.score(scan)
    found["slice_s"] = (time.perf_counter() - start) / len(scan)
    kept = sum(array.nbytes for array in fitted.state().values())
    found |= {"kept_mb": kept / 1e6, "memory_mb": _peak_mb() - before}
    return {
        key: 0.0 if key in {"fit_s", "kept_mb"} and value < 0.01 else float(f"{value:.2g}")
        for key, value in found.items()
    }


def _short(method: type[Method]) -> dict[str, int]:
    """Parameters of a short training; none of a method that counts no steps."""
    return {"steps": _STEPS} if "steps" in method.Params.model_fields else {}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
