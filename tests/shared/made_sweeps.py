"""A lab for sweeps of a stranger's method."""

from __future__ import annotations

import contextlib
import csv
import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from box_runs import Done

import uad_bench as ub
from uad_bench.cli import main
from uad_bench.report.figures.sweep import Sweep

FADE = '''
"""A darker copy as reconstruction, and three bands of intensity as tissues."""
import os
import time
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from uad_bench.errors import DivergenceError
from uad_bench.method import FitReport, MethodInfo, Params, ReconstructionMethod
from uad_bench.method import TissueMapping, tunable


class Fade(ReconstructionMethod, TissueMapping):
    class Params(Params):
        gain: float = tunable(0.5, 0.25, 1.0, ge=0.0, le=1.0)
        edge: float = Field(default=0.5, gt=0.0, lt=1.0)
        mode: Literal["soft", "hard"] = "soft"
        file: Path | None = None

    info = MethodInfo("fade", "Fade", presets={"dim": {"gain": 0.1, "edge": 0.6}})

    def fit(self, train, validation, context):
        with open(os.environ["FADE_LOG"], "a") as log:
            log.write(f"{self.params.gain} {context.seed}\\n")
        if "FADE_MEET" in os.environ:  # until another value is being trained too
            folder = Path(os.environ["FADE_MEET"])
            (folder / f"{self.params.gain}").touch()
            ends = time.monotonic() + 60
            while len(list(folder.iterdir())) < 2:
                if time.monotonic() > ends:
                    raise DivergenceError("alone")
                time.sleep(0.05)
        if self.params.gain == 0.75:
            raise DivergenceError("the loss is no longer finite")
        if self.params.gain == 0.625 and "FADE_STOP" in os.environ:
            raise KeyboardInterrupt
        return FitReport(steps=1, validation={"l1": 1.0, "kl": 7.0 + context.seed})

    def reconstruct(self, slices):
        return (slices.image * np.float32(self.params.gain)).astype(np.float32)

    def tissues(self, slices):
        image = slices.image[:, 0]
        if self.params.gain == 0.875:
            return image
        dark, bright = image < 0.2, image >= self.params.edge
        return np.stack([dark, bright, ~dark & ~bright, 0 * image], axis=1).astype(np.float32)
'''


@dataclass(frozen=True)
class Bench:
    """A lab with a healthy dataset that has a test split, a stranger's method, and its diary."""

    root: Path
    cache: Path
    recipe: Path
    plugin: Path
    log: Path

    def sweep(self, *arguments: object, cwd: Path, root: Path | None = None, jobs: int = 1) -> Done:
        given = [*arguments, "--data-root", root or self.root, "--cache", self.cache]
        given += ["--recipe", self.recipe, "--jobs", jobs]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            code = main(["sweep", *map(str, given), "--plugin", str(self.plugin)])
        return Done(code, out.getvalue(), err.getvalue())

    def in_python(self, *arguments: Any, **settings: Any) -> Sweep:
        """The same sweep by the front door."""
        where = {"data_root": self.root, "cache": self.cache, "recipe": str(self.recipe)}
        return ub.sweep(*arguments, **where, plugin=self.plugin, jobs=1, **settings)

    def trained(self) -> list[str]:
        """What the method trained, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def lines(folder: Path, name: str = "fade-gain") -> list[dict[str, str]]:
    text = (folder / "results" / "sweeps" / name / "sweep.csv").read_text()
    return list(csv.DictReader(io.StringIO(text)))
