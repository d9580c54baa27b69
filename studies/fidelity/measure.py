"""Train one arm with one seed, and measure it on healthy people and on patients."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import uad_bench as ub
from uad_bench.evaluation.latent import ssim, tissue_dice
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.scored import Evaluation
from uad_bench.evaluation.scores import histograms
from uad_bench.method import FloatArray, ReconstructionMethod, Slices, TissueMapping
from uad_bench.runner.detectors.scoring import brain_on
from uad_bench.runner.environment import describe_device, git_commit, resolve_device
from uad_bench.system.disk import write_whole
from uad_bench.volumes.store.prepared import PreparedDataset

from .arms import Arm, Size
from .data import StudyData, examples, first_scans, lesion_free_scans, save_arrays
from .records import POSTS, Record

METRICS = ("auprc", "max_dice", "dice", "fpr")
Numbers = dict[str, dict[str, float | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a detector makes of the slices of one person."""

    maps: Mapping[str, FloatArray]  # anomaly maps [N, H, W] by the mark of their post-processing
    rebuilt: FloatArray | None  # the reconstruction [N, H, W], where there is one
    brain: NDArray[np.bool_]  # [N, H, W]

    @classmethod
    def by(cls, detector: ub.Detector, slices: Slices) -> Seen:
        """Let a detector look at slices."""
        method, rebuilt = detector.method, None
        if isinstance(method, ReconstructionMethod):
            rebuilt = method.reconstruct(slices)[:, 0]
            residual = np.asarray(slices.image)[:, 0] - rebuilt
        else:
            residual = method.score(slices)[:, 0]
        solid = ndimage.median_filter(np.maximum(residual, 0), size=3, mode="nearest")
        brain = brain_on(slices)
        maps = {"": NONE.apply(residual, brain), "*": STAR.apply(residual, brain), "*3D": solid}
        return cls(maps, rebuilt, brain.brain)


def measure(
    arm: Arm, seed: int, size: Size, data: StudyData, folder: Path, *, device: str = "auto"
) -> Record:
    """Train and measure an arm; write ``ARM-sSEED.npz`` and ``.json``, the JSON last.

    A detector that was trained before is taken from the folder.

    Raises:
        UadBenchError: if the method cannot be trained.
    """
    name = f"{arm.name}-s{seed}"
    kept = {"results": folder / "detectors" / name, "progress": False, "tune": False}
    words = {"device": device, **kept, **data.training, **arm.parameters(size)}
    detector = ub.fit(arm.method, seed=seed, **words)
    started = time.perf_counter()
    scans = [one for scan, one in first_scans(data.healthy) if scan.split == "validation"]
    validation = [Seen.by(detector, one) for one in scans]
    numbers: dict[str, Numbers] = {"unseen": _healthy(detector, data.unseen)}
    pictures, pooled, levels = {}, {}, dict.fromkeys(POSTS, 0.0)
    for label, dataset in data.patients.items():
        found, numbers[label] = _patients(detector, dataset, validation)
        pooled[label] = {mark: _pooled(one) for mark, one in found.items()}
        levels = {mark: one.thresholds["fpr1"] for mark, one in found.items()}
        for scan, one, _ in examples(dataset):
            seen = Seen.by(detector, one)
            pictures[f"{label}/{scan.name}/score"] = seen.maps["*"][0]
            if seen.rebuilt is not None:
                pictures[f"{label}/{scan.name}/reconstruction"] = seen.rebuilt[0]
    numbers["lesion-free"] = _false_positives(detector, data.lesion_free, levels)
    fit, versions = detector.record.fit, detector.record.versions
    record = Record(
        arm=arm.name,
        seed=seed,
        params=detector.record.params,
        steps=fit.steps,
        slices_seen=fit.slices_seen,
        curves=fit.curves,
        train_s=fit.wall_s,
        score_s=time.perf_counter() - started,
        numbers=numbers,
        pooled=pooled,
        data=data.hash,
        device=describe_device(resolve_device(device)),
        versions={name: versions[name] for name in ("uad-bench", "torch", "numpy")},
        commit=git_commit() or "unknown",
    )
    save_arrays(folder / f"{name}.npz", pictures)
    write_whole(folder / f"{name}.json", record.model_dump_json().encode())
    return record


def _patients(
    detector: ub.Detector, dataset: PreparedDataset, validation: list[Seen]
) -> tuple[dict[str, Evaluation], Numbers]:
    """Score a dataset under every post-processing; and the numbers of each patient."""
    scans = [(scan.subject, one, dataset.lesion(scan)) for scan, one in first_scans(dataset)]
    seen = [Seen.by(detector, one) for _, one, _ in scans]
    numbers: Numbers = {person: {} for person, _, _ in scans}
    found = {}
    for mark in POSTS:
        found[mark] = ub.evaluate(
            [one.maps[mark] for one in seen],
            [np.asarray(lesion) for _, _, lesion in scans],
            [one.brain for one in seen],
            dataset.spacing,
            healthy=([one.maps[mark] for one in validation], [one.brain for one in validation]),
            subjects=list(numbers),
        )
        for scan in found[mark].scans:
            numbers[scan.subject] |= {f"{name}{mark}": scan.metrics[name] for name in METRICS}
    for (person, slices, lesion), one in zip(scans, seen, strict=True):
        if one.rebuilt is not None:
            numbers[person] |= _contrast(slices, one.rebuilt, lesion)
    return found, numbers


def _pooled(found: Evaluation) -> float | None:
    """AUPRC over all voxels of all slices, background included."""
    slices = [one for name, one in found.histograms.items() if name.endswith("/slice")]
    return histograms.average_precision(histograms.ScoreHistogram.pooled(slices))


def _contrast(
    slices: Slices, rebuilt: FloatArray, lesion: NDArray[np.uint8]
) -> dict[str, float | None]:
    """How much of the lesion's contrast the reconstruction keeps, and the ratio of its errors.

    Contrast is the mean inside the lesion minus the mean of the healthy brain; 0 kept is a lesion
    that is gone, 1 one that is copied. The ratio is that of the error inside and outside.
    """
    image, brain = slices.image[:, 0], slices.brain[:, 0]
    inside, outside = (lesion == 1) & brain, (lesion == 0) & brain
    if not inside.any():
        return {"kept": None, "ratio": None}
    before, after = (float(one[inside].mean() - one[outside].mean()) for one in (image, rebuilt))
    errors = (float(np.abs(image - rebuilt)[of].mean()) for of in (inside, outside))
    return {"kept": after / before, "ratio": next(errors) / next(errors)}


def _false_positives(
    detector: ub.Detector, dataset: PreparedDataset | None, levels: Mapping[str, float]
) -> Numbers:
    """False-positive rate in the lesion-free slices of each person, at the thresholds."""
    numbers: Numbers = {}
    for scan, slices in lesion_free_scans(dataset):
        seen, numbers[scan.subject] = Seen.by(detector, slices), {}
        none = np.zeros(seen.brain.shape, np.uint8)
        for mark, scores in seen.maps.items():
            levels_of = histograms.ScoreHistogram.of(scores, none, seen.brain)
            rate = histograms.false_positive_rate(levels_of, round(levels[mark] * 65535))
            numbers[scan.subject][f"fpr{mark}"] = rate
    return numbers


def _healthy(detector: ub.Detector, unseen: PreparedDataset) -> Numbers:
    """Reconstruction error, similarity and tissue Dice of each unseen healthy person."""
    numbers: Numbers = {}
    for scan, slices in first_scans(unseen):
        seen = Seen.by(detector, slices)
        if seen.rebuilt is None:
            continue
        error = np.abs(slices.image[:, 0] - seen.rebuilt)
        numbers[scan.subject] = {
            "l1": float(error.mean()),
            "l1_brain": float(error[seen.brain].mean()),
            "ssim": ssim(slices.image, seen.rebuilt[:, None], slices.brain),
        }
        if isinstance(detector.method, TissueMapping):
            maps = detector.method.tissues(slices)
            dice = tissue_dice(maps, unseen.tissue_of(scan), slices.brain)
            numbers[scan.subject] |= {f"dice_{name}": value for name, value in dice.items()}
            off = float(np.abs(maps.sum(axis=1) - 1)[seen.brain].mean())
            numbers[scan.subject]["sum_error"] = off
    return numbers
