"""Runs of a stranger's method in one file, by the command line."""

from __future__ import annotations

import contextlib
import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from uad_bench.cli import main

BOX = '''
"""A box of fixed intensity: how much brighter than 0.5 a voxel is."""
import os
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class Box(Method):
    info = MethodInfo("box", "Box")

    def fit(self, train, validation, context):
        return FitReport(steps=1, slices_seen=len(train))

    def score(self, slices):
        return np.clip(slices.image - 0.5, 0, 1).astype(np.float32)
'''


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


def uad_bench(*arguments: object, cwd: Path) -> Done:
    """Run a command in this process, as the console script would from ``cwd``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Done(code, out.getvalue(), err.getvalue())


def arguments(lab: Path, cache: Path, box: Path, results: str = "results") -> list[object]:
    return [
        *("run", "--methods", "box", "--datasets", "mslub,wmh"),
        *("--data-root", lab, "--cache", cache, "--plugin", box),
        *("--results", results, "--no-mlflow", "--controls", "control-black"),
    ]


def quick(lab: Path, cache: Path, box: Path) -> list[object]:
    """One method, one patient, no controls."""
    few = ["--datasets", "wmh", "--controls", "", "--limit", "1", "--postprocessing", "none"]
    return [*arguments(lab, cache, box), *few]


def table(folder: Path, results: str = "results") -> str:
    done = uad_bench("table", "--results", results, "-f", "markdown", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout
