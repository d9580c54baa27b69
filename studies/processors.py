"""What another processor does to the numbers of a run: the tolerance of ``uad-bench reproduce``.

    python -m studies.processors --results RESULTS [--docs docs]

The same small runs are done again with the instruction sets of older processors and with another
number of threads; each in a process of its own, because libraries choose their instructions when
they are loaded. Finished cells are kept, so that the same command goes on where it was stopped. It
writes the page docs/studies/processors.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uad_bench.results import load_cells
from uad_bench.sharing.differences import TOLERANCES, differences, kind

_RECIPE = Path(__file__).with_name("leaderboard.yaml")

_NUMPY_WITHOUT = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3"
_NUMBA_WITHOUT = "-avx512f,-avx512bw,-avx512cd,-avx512dq,-avx512vl,-avx2,-fma"
_ONE = {"OMP_NUM_THREADS": "1"}
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}
_TORCH = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
}
_ARRAYS = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": _NUMPY_WITHOUT,
    "NUMBA_CPU_NAME": "nehalem",
    "NUMBA_CPU_FEATURES": _NUMBA_WITHOUT,
}

ARMS: Mapping[str, Mapping[str, str]] = {
    "as it is": _ONE,
    "torch with AVX2": _ONE | _AVX2,
    "two threads": {"OMP_NUM_THREADS": "2"},
    "all without AVX": _ONE | _TORCH | _ARRAYS,
}
"""Environments by name; the first is what the others are compared with."""

_MEANING = {
    "as it is": "one thread; what the others are compared with",
    "torch with AVX2": "torch, oneDNN and MKL use AVX2, as on most machines without AVX-512",
    "two threads": "`OMP_NUM_THREADS=2`",
    "all without AVX": "torch, oneDNN, MKL, numpy, OpenBLAS and numba use SSE4; new phantoms",
}

_INTRODUCTION = """\
# Other processors

Does a run give the same numbers on another machine? This page measures it. The tolerance of
[`uad-bench reproduce`](../how-to/share-and-reproduce.md) comes from here.

Libraries choose their instructions by the processor that they find, and split sums by the number of
threads. Sums in another order differ in the last bit. The same small runs were done again on one
machine, an Intel Xeon with AVX-512 and two cores, with the instructions of older processors:

| processor | what was set |
| :-- | :-- |
{processors}

Two simulated patients each of MSLUB and BraTS, eight healthy people, pixels of 2.5 mm, networks
a quarter as wide as usual. The columns are the largest absolute difference of a metric over all
cells: ratios in [0, 1], `hd95` in mm, `false_findings` per scan. *Same digits* is the share of
numbers of which no digit moved.

Repeat it with `python -m studies.processors --results RESULTS`."""

_END = """\
## What it says

**On the same scans, what uses no torch is the same to the last digit.** Thresholding, the mean
image and the outlier method give the same numbers.

**Pretrained features move the seventh digit.** PaDiM and PatchCore train no network, and on the
same scans their AUPRC moves by 1e-6 at most.

**Phantoms are others without AVX.** numpy and scipy round otherwise there, a voxel comes out
otherwise, and the scans' hashes with it. AUPRC moves in the third digit behind the point.

**A trained network is another network.** Training enlarges the difference in the last bit. After
20 steps AUPRC and Dice differ by some hundredths; 200 steps bring about as much. What is counted in
lesions or measured to the farthest voxel moves in jumps. Therefore a difference of a few hundredths
between two methods on a handful of patients is none: train several seeds.

The tolerance of a metric is its largest difference here, rounded up to two digits: apart for
trained networks, for other methods on the same scans, and for these on phantoms that came out
otherwise. It was measured on two patients for each dataset. On one patient more can move, and on
many less will. GPUs were not measured."""

METHODS = "thresholding,control-mean,outlier,padim,patchcore,ae,spa"
STEPS = (20, 200)
"""How long networks train. Small differences grow with the length of a training."""


def main() -> None:
    """Do the runs that are not there yet, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m studies.processors", description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="default: docs")
    options = parser.parse_args()
    for arm in ARMS:
        for steps in STEPS:
            run(options.results, arm, steps)
    found = list(moved(options.results))
    (options.docs / "studies" / "processors.md").write_text(page(found), encoding="utf-8")
    TOLERANCES.write_text(f"{json.dumps(tolerances(found), indent=1)}\n", encoding="utf-8")


def run(results: Path, arm: str, steps: int) -> None:
    """Do a run of an arm. One whose arrays may differ simulates and prepares its own people."""
    folder = place(results, arm)
    people = folder if ARMS[arm].keys() & _ARRAYS.keys() else place(results, next(iter(ARMS)))
    methods = METHODS if steps == STEPS[0] else "ae,spa"
    params = [f"--param={name}.steps={steps}" for name in ("ae", "spa")]
    params += [f"--param={name}.width=8" for name in ("ae", "spa")]
    command = [sys.executable, "-P", "-m", "uad_bench", "run", "--methods", methods]
    command += ["--datasets", "mslub,brats", "--phantoms", "2", "--recipe", str(_RECIPE)]
    command += ["--no-tune", "--controls", "none", "--no-mlflow", "--device", "cpu", *params]
    command += ["--results", str(folder / str(steps)), "--cache", str(people / "cache"), "-j", "1"]
    print(arm, steps, flush=True)
    subprocess.run(command, check=True, env={**os.environ, **ARMS[arm]}, stdout=subprocess.DEVNULL)


def place(results: Path, arm: str) -> Path:
    """Return where the runs of an arm are."""
    return results / arm.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a number of an arm is from that of the first.

    Attributes:
        arm: the environment.
        steps: of networks.
        method: whose it is.
        kind: what is another; a key of the tolerances.
        metric: the number's name.
        by: the absolute difference; infinite where only one of the two is defined.
    """

    arm: str
    steps: int
    method: str
    kind: str
    metric: str
    by: float


def moved(results: Path) -> Iterator[Moved]:
    """Yield the difference of every number of every arm from the first arm's."""
    first, *others = ARMS
    for steps in STEPS:
        base = {c.spec.name: c for c in load_cells(place(results, first) / str(steps))}
        for arm in others:
            for cell in load_cells(place(results, arm) / str(steps)):
                for one in differences(base[cell.spec.name], cell):
                    if one.part != "value":
                        continue  # its tolerance follows from the value's
                    by = 0.0 if not one.moved else abs(one.difference or math.inf)
                    yield Moved(
                        arm,
                        steps,
                        cell.spec.method,
                        kind(base[cell.spec.name], cell),
                        one.metric,
                        by,
                    )


def tolerances(found: Sequence[Moved]) -> dict[str, dict[str, float]]:
    """Return the largest finite difference of each metric by kind, rounded up to two digits."""
    most: dict[str, dict[str, float]] = {}
    for one in found:
        known = most.setdefault(one.kind, {})
        if math.isfinite(one.by):
            known[one.metric] = max(known.get(one.metric, 0.0), one.by)
    return {kind: {name: _up(by) for name, by in known.items()} for kind, known in most.items()}


def _up(value: float) -> float:
    """Round up to two significant digits."""
    if value == 0.0:
        return 0.0
    digits = 1 - math.floor(math.log10(value))
    return float(f"{math.ceil(value * 10**digits) / 10**digits:.2g}")


_SHOWN = ("auprc", "max_dice", "dice_fpr5", "lesion_f1", "hd95", "false_findings")


def page(found: Sequence[Moved]) -> str:
    """Return the page in Markdown."""
    fixed = [one for one in found if one.kind != "trained"]
    trained = [one for one in found if one.kind == "trained"]
    arms = dict.fromkeys([next(iter(ARMS)), *(one.arm for one in found)])
    processors = [f"| {arm} | {_MEANING[arm]} |" for arm in arms]
    rows = [
        [f"`{method}`", arm, *_row([m for m in fixed if (m.method, m.arm) == (method, arm)])]
        for method in dict.fromkeys(one.method for one in fixed)
        for arm in dict.fromkeys(one.arm for one in fixed)
    ]
    grown = [
        [arm, str(n), *_row([m for m in trained if (m.arm, m.steps) == (arm, n)])]
        for arm, n in dict.fromkeys((one.arm, one.steps) for one in trained)
    ]
    return "\n\n".join(
        [
            _INTRODUCTION.format(processors="\n".join(processors)),
            "## Methods that train no network",
            _table(["method", "processor", "same digits", *_SHOWN], rows),
            "## Trained networks",
            _table(["processor", "steps", "same digits", *_SHOWN], grown),
            _END,
            "",
        ]
    )


def _row(found: Sequence[Moved]) -> list[str]:
    """The share of numbers that did not move, and the largest move of those shown."""
    same = sum(one.by == 0.0 for one in found) / len(found)
    most = (max(one.by for one in found if one.metric == metric) for metric in _SHOWN)
    return [f"{same:.0%}", *(f"{by:.2g}" for by in most)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
