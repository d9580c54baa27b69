"""Does a threshold from healthy people hold on another scanner, with scores calibrated per scan?

The threshold lets through 1 % (``--rate``) of the voxels of simulated healthy people. It is
measured on simulated patients of other scanners and on real ones: false positives in healthy
tissue, and Dice beside its maximum. Prints a Markdown table per method:

    python -m studies.thresholds --data-root DATA [--further bids:PATH]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import uad_bench as ub
from uad_bench.dataset import Split
from uad_bench.evaluation.scores.histograms import (
    ScoreHistogram,
    dice_at,
    dice_curve,
    false_positive_rate,
    quantise,
    threshold_at_fpr,
)
from uad_bench.plugins.registry import discover
from uad_bench.runner.detectors.scoring import brain_on, signed_residual
from uad_bench.volumes.store.prepared import PreparedDataset

SIMULATED = ("mslub", "msisbi", "msi", "wmh", "gbi", "brats")
REAL = ("mslub", "brats")
MAPS = {
    "thresholding": ("none", "star"),
    "outlier": ("none",),
    "control-mean": ("none", "star"),
    "vae": ("star",),
}
SMALL: dict[str, dict[str, Any]] = {"vae": {"steps": 60, "width": 8, "perceptual_weight": 0.0}}
"""Networks are trained for minutes: the question is about thresholds, not about networks."""
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """The anomaly map of a scan inside its brain, and its lesions there."""

    values: Scores
    lesion: NDArray[np.uint8]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder with MSLUB and BraTS")
    parser.add_argument("--further", help="one more real dataset, such as bids:PATH")
    parser.add_argument("--methods", default=",".join(MAPS))
    parser.add_argument("--rate", type=float, default=0.01, help="false positives that are wanted")
    parser.add_argument("--results", help="a results folder that keeps trained detectors")
    parser.add_argument("--cache")
    arguments = parser.parse_args()
    where = {"cache": arguments.cache, "progress": False}
    healthy = ub.prepare("hi", phantoms=6, **where)
    patients = {f"{n} (sim.)": ub.prepare(n, phantoms=3, **where) for n in SIMULATED}
    patients |= {n: ub.prepare(n, data_root=arguments.data_root, **where) for n in REAL}
    if arguments.further:
        patients["further"] = ub.prepare(arguments.further, **where)
    for name in arguments.methods.split(","):
        parameters = SMALL.get(name, {})
        detector = ub.fit(
            name, phantoms=6, tune=False, results=arguments.results, **where, **parameters
        )
        for post in MAPS[name]:
            validation = list(_scans(detector, post, healthy, "validation"))
            tests = {"hi (sim.)": list(_scans(detector, post, healthy, "test"))}
            tests |= {n: list(_scans(detector, post, one, "test")) for n, one in patients.items()}
            print(
                f"\n**`{name}`, post-processing `{post}`**\n\n"
                + "\n".join(_table(validation, tests, arguments.rate))
            )


def _scans(
    detector: ub.Detector, post: str, dataset: PreparedDataset, split: Split
) -> Iterator[Scan]:
    """Score scans, and keep what is inside the brain."""
    variant = discover().postprocessing(post)
    for scan in dataset.scans_of(split):
        slices = dataset.slices(scan)
        brain = brain_on(slices)
        found = variant.apply(signed_residual(detector.method, slices)[0], brain)
        yield Scan(found[brain.brain].astype(np.float64), dataset.lesion(scan)[brain.brain])


def _as_it_is(values: Scores) -> Scores:
    return values


def _in_units(values: Scores) -> Scores:
    """Of the 0.85 quantile: the post-processing ``calibrated``."""
    unit = np.quantile(values, 0.85)
    return values / (values + 4 * unit) if unit > 0 else values


def _centred(values: Scores) -> Scores:
    """Distance from the median, in units of that of the 0.75 quantile."""
    middle, upper = np.quantile(values, [0.5, 0.75])
    if upper <= middle:
        return values
    distance = (values - middle) / (upper - middle)
    return np.asarray(0.5 + 0.5 * distance / (np.abs(distance) + 4))


def _deviation(values: Scores) -> Scores:
    """Distance from the median, in units of the median distance from it."""
    middle = np.median(values)
    unit = np.median(np.abs(values - middle))
    if unit <= 0:
        return values
    distance = (values - middle) / (1.4826 * unit)
    return np.asarray(0.5 + 0.5 * distance / (np.abs(distance) + 4))


def _rank(values: Scores) -> Scores:
    """The share of the brain's voxels that have a lower value: 1 % of every brain is found."""
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray((order + 0.5) / len(values))


CALIBRATIONS: dict[str, Callable[[Scores], Scores]] = {
    "none": _as_it_is,
    "`calibrated`": _in_units,
    "median and 0.75 quantile": _centred,
    "median and MAD": _deviation,
    "rank": _rank,
}


def _table(
    validation: Sequence[Scan], tests: Mapping[str, Sequence[Scan]], wanted: float
) -> Iterator[str]:
    """Yield the rows: per dataset the false positives, and Dice out of the largest one."""
    yield f"| calibration | {' | '.join(tests)} | factor 2 | Dice |"
    yield f"|---|{'--:|' * len(tests)}--:|--:|"
    for name, calibrate in CALIBRATIONS.items():
        pooled = ScoreHistogram.pooled(
            _histogram(calibrate(s.values), s.lesion) for s in validation
        )
        threshold = threshold_at_fpr(pooled, wanted)
        cells, held, reached = [], 0, []
        for scans in tests.values():
            histograms = [_histogram(calibrate(scan.values), scan.lesion) for scan in scans]
            rate = float(np.mean([false_positive_rate(one, threshold) for one in histograms]))
            held += wanted / 2 <= rate <= 2 * wanted
            cells.append(f"{100 * rate:.2f} %")
            if ill := [one for one in histograms if one.lesion_voxels]:
                dice, best = np.mean([dice_at(one, threshold) for one in ill]), _max_dice(ill)
                cells[-1] += f" {dice:.2f}/{best:.2f}"
                reached.append(bool(dice >= 0.8 * best))
        yield _row(name, cells, held, reached)
    yield _row(*_with_labels(tests, wanted))


def _with_labels(
    tests: Mapping[str, Sequence[Scan]], wanted: float
) -> tuple[str, list[str], int, list[bool]]:
    """What the right threshold of each scan reaches, found with its labels: the upper bound."""
    cells, reached = [], []
    for scans in tests.values():
        histograms = [_histogram(scan.values, scan.lesion) for scan in scans]
        cells.append(f"{100 * wanted:.2f} %")
        if ill := [one for one in histograms if one.lesion_voxels]:
            dice = np.mean([dice_at(one, threshold_at_fpr(one, wanted)) for one in ill])
            best = _max_dice(ill)
            cells[-1] += f" {dice:.2f}/{best:.2f}"
            reached.append(bool(dice >= 0.8 * best))
    return f"*{100 * wanted:g} % by labels*", cells, len(tests), reached


def _row(name: str, cells: Sequence[str], held: int, reached: Sequence[bool]) -> str:
    within = f"{held} of {len(cells)} | {sum(reached)} of {len(reached)}"
    return f"| {name} | {' | '.join(cells)} | {within} |"


def _histogram(values: Scores, lesion: NDArray[np.uint8]) -> ScoreHistogram:
    return ScoreHistogram.of(quantise(values.astype(np.float32)), lesion)


def _max_dice(ill: Sequence[ScoreHistogram]) -> float:
    """The largest mean Dice of one threshold for all, searched on the labels."""
    levels = ScoreHistogram.pooled(ill).lesion.levels
    levels = levels[levels > 0]
    return float(np.mean([dice_curve(one, levels) for one in ill], axis=0).max())


if __name__ == "__main__":
    main()
