"""Runs of a supervised method and of two that are not, by the command line."""

from __future__ import annotations

import contextlib
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from uad_bench.cli import main

PUPIL = '''
"""Keeps all that it was given to learn from."""
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class Pupil(Method):
    info = MethodInfo("pupil", "Pupil", needs=frozenset({"lesion_masks"}))

    def fit(self, train, validation, context):
        self.images_ = np.concatenate([train.image, validation.image])
        self.masks_ = np.concatenate([train.lesion, validation.lesion])
        self.calibrated_ = ()
        return FitReport(slices_seen=len(train))

    def calibrate(self, validation, context):
        assert validation.lesion is None
        self.calibrated_ = validation.image[:, 0]
        return ()

    def score(self, slices):
        assert slices.lesion is None
        return np.clip(slices.image - 0.5, 0, 1).astype(np.float32)
'''


BRIGHT = """
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class {name}(Method):
    info = MethodInfo("{lower}", "{name}", trains=False)

    def fit(self, train, validation, context):
        assert train.lesion is None
        return FitReport()

    def score(self, slices):
        return (slices.image ** {power}).astype(np.float32)
"""


def uad_bench(*arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Run a command in this process, as the console script would from ``cwd``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def run(data: Path, cache: Path, plugins: Path, *more: object, cwd: Path) -> tuple[int, str, str]:
    common = ("--data-root", data, "--cache", cache, "--plugin", plugins, "--no-mlflow")
    return uad_bench("run", *common, "--controls", "", "--postprocessing", "none", *more, cwd=cwd)
