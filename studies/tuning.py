"""Which objective of tuning picks the better settings, and is tuned better than untuned?

Trains a method at every point of a coarse grid over its search ranges, on simulated healthy people.
Each detector is measured on healthy validation scans by every objective, and on patients by AUPRC.
The rule of tuning then picks a setting per objective from what healthy people say alone, and the
patients say what each pick is worth. Prints Markdown tables:

    python -m studies.tuning --data-root DATA [--methods spa,vae] [--steps 80] [--seeds 0,1]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import uad_bench as ub
from uad_bench.evaluation.latent import ssim
from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision
from uad_bench.method import Method, ReconstructionMethod
from uad_bench.study_record import StudyMetric, Trial
from uad_bench.tuning.choice import choose
from uad_bench.tuning.painted import AUPRC, painted_auprc
from uad_bench.volumes.store.prepared import PreparedDataset

SIMULATED = ("mslub", "wmh", "brats")
REAL = ("mslub", "brats")
GRID = {"beta": (1e-5, 1e-3, 1e-2), "snr": (4.0, 16.0, 64.0)}
SSIM_LOSS = "1 - SSIM"
OBJECTIVES = {
    "reconstruction": ("l1", "kl"),
    "ssim": (SSIM_LOSS, "kl"),
    "painted": (AUPRC,),
}
SMALL: Mapping[str, Any] = {"width": 8, "perceptual_weight": 0.0}
"""Networks are trained for a minute: the question is about settings, not about networks."""


@dataclass(frozen=True, slots=True)
class Point:
    """A setting: what healthy people say of it, and what patients say.

    Attributes:
        trial: its parameters, and the metrics on healthy validation scans.
        auprc: on patients, by dataset.
    """

    trial: Trial
    auprc: Mapping[str, float]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, help="folder with real MSLUB and BraTS")
    parser.add_argument("--methods", default="spa,vae")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--phantoms", type=int, default=2)
    parser.add_argument("--results", help="a results folder that keeps trained detectors")
    parser.add_argument("--cache")
    arguments = parser.parse_args()
    where = {"cache": arguments.cache, "progress": False}
    healthy = ub.prepare("hi", phantoms=arguments.phantoms, **where)
    patients = {
        f"{name} (sim.)": ub.prepare(name, phantoms=arguments.phantoms, **where)
        for name in SIMULATED
    }
    if arguments.data_root is not None:
        patients |= {n: ub.prepare(n, data_root=arguments.data_root, **where) for n in REAL}
    training = {**where, "phantoms": arguments.phantoms, "results": arguments.results}
    for name, seed in product(arguments.methods.split(","), map(int, arguments.seeds.split(","))):
        points = []
        for number, setting in enumerate(_settings(), 1):
            detector = ub.fit(
                name,
                seed=seed,
                tune=False,
                **training,
                **{**SMALL, "steps": arguments.steps, **setting},
            )
            points.append(_point(number, setting, detector, healthy, patients))
        print(f"\n**`{name}`, seed {seed}, {arguments.steps} steps**\n")
        print("\n".join((*_settings_table(points), "", *_picks_table(points))), flush=True)


def _settings() -> Iterator[dict[str, float]]:
    for values in product(*GRID.values()):
        yield dict(zip(GRID, values, strict=True))


def _point(
    number: int,
    setting: dict[str, float],
    detector: ub.Detector,
    healthy: PreparedDataset,
    patients: Mapping[str, PreparedDataset],
) -> Point:
    method = detector.method
    assert isinstance(method, ReconstructionMethod)
    scans = list(healthy.split("validation").scans())
    likeness = [
        ssim(np.asarray(s.image), method.reconstruct(s), np.asarray(s.brain)) for s in scans
    ]
    metrics = {
        **detector.record.fit.validation,
        SSIM_LOSS: 1.0 - float(np.mean(likeness)),
        AUPRC: painted_auprc(lambda slices: method.score(slices)[:, 0], scans, seed=0),
    }
    trial = Trial(number=number, params=setting, metrics=metrics)
    return Point(trial, {name: _auprc(method, one) for name, one in patients.items()})


def _auprc(method: Method, dataset: PreparedDataset) -> float:
    """AUPRC over all voxels of the brains of a dataset's patients, without post-processing."""
    histograms = []
    for scan in dataset.scans_of("test"):
        slices = dataset.slices(scan)
        brain = np.ascontiguousarray(slices.brain[:, 0])
        scores = np.ascontiguousarray(method.score(slices)[:, 0])
        histograms.append(ScoreHistogram.of(scores, np.asarray(dataset.lesion(scan)), brain))
    return average_precision(ScoreHistogram.pooled(histograms)) or 0.0


def _settings_table(points: Sequence[Point]) -> Iterator[str]:
    metrics = ("l1", "kl", SSIM_LOSS, AUPRC)
    datasets = list(points[0].auprc)
    yield f"| beta | snr | {' | '.join((*metrics, *datasets))} |"
    yield "|--:" * (2 + len(metrics) + len(datasets)) + "|"
    for one in points:
        numbers = [*one.trial.params.values(), *(one.trial.metrics[name] for name in metrics)]
        found = " | ".join(f"{value:.4g}" for value in numbers)
        yield f"| {found} | {' | '.join(f'{one.auprc[name]:.4f}' for name in datasets)} |"
    ranks = []
    for name in metrics:
        sign = 1 if name == AUPRC else -1
        own = [sign * one.trial.metrics[name] for one in points]
        ranks.append(f"{spearmanr(own, [_mean(one) for one in points]).statistic:+.2f}")
    yield f"| rank correlation with patients | | {' | '.join(ranks)} |{' |' * len(datasets)}"


def _picks_table(points: Sequence[Point]) -> Iterator[str]:
    """What each objective picks, and its AUPRC on patients, beside the untuned defaults."""
    datasets = list(points[0].auprc)
    default = {"beta": 1e-5, "snr": 16.0}
    rows = {"untuned: the defaults": _at(points, default)}
    rows["untuned: as published"] = _at(points, {"beta": 1e-3, "snr": 16.0})
    for objective, names in OBJECTIVES.items():
        metrics = [StudyMetric(name=name, higher_is_better=name == AUPRC) for name in names]
        chosen = choose([one.trial for one in points], metrics, default)
        rows[f"tuned by {objective}"] = points[chosen.number - 1]
    rows["best for these patients"] = max(points, key=_mean)
    yield f"| | beta | snr | {' | '.join(datasets)} | geometric mean |"
    yield "|---" + "|--:" * (3 + len(datasets)) + "|"
    for title, one in rows.items():
        params = " | ".join(f"{value:g}" for value in one.trial.params.values())
        found = " | ".join(f"{one.auprc[name]:.4f}" for name in datasets)
        yield f"| {title} | {params} | {found} | {_mean(one):.4f} |"


def _at(points: Sequence[Point], setting: Mapping[str, float]) -> Point:
    return next(one for one in points if one.trial.params == setting)


def _mean(point: Point) -> float:
    """The geometric mean over datasets, in which each counts alike: a plain one is BraTS."""
    return float(np.exp(np.mean(np.log(list(point.auprc.values())))))


if __name__ == "__main__":
    main()
