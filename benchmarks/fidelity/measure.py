"""Train one arm with one seed, and measure it on healthy people and on patients."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arms import PLAIN, Arm, Size
from numpy.typing import NDArray
from pack import Pack, PackedDataset, scan_slices
from scipy import ndimage

from uad_bench.evaluation.histograms import ScoreHistogram, average_precision, quantise
from uad_bench.evaluation.latent import ssim, tissue_dice
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.protocol import validation_histogram
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.method import FitContext, FitReport, FloatArray, Method, Slices
from uad_bench.plugins.registry import discover
from uad_bench.runner.detectors.scoring import signed_residual
from uad_bench.system.disk import write_whole

POSTS = ("none", "star", "star3d")
"""Absolute residual; positive residual and a median of 3 x 3; of 3 x 3 x 3 voxels."""

EXAMPLES = 2
"""Patients of each dataset whose slices are kept for pictures."""


def measure(arm: Arm, seed: int, size: Size, pack: Pack, *, device: str, folder: Path) -> None:
    """Train and measure an arm; write ``ARM-sSEED.json`` and ``.npz``, the JSON last.

    Raises:
        UadBenchError: if the method cannot be trained.
    """
    method, report, seconds = _train(arm, seed, size, pack, device)
    started = time.perf_counter()
    validation = _scored(method, pack, pack.datasets["healthy"], split="validation")
    thresholds = {post: validation_histogram(scans) for post, scans in validation.items()}
    datasets, pictures = {}, {}
    for label, dataset in pack.patients.items():
        datasets[label] = _patients(method, pack, dataset, thresholds)
        pictures |= _pictures(method, pack, label, dataset)
    healthy = _healthy(method, pack)
    record = {
        "arm": arm.name,
        "method": arm.method,
        "params": method.params.model_dump(mode="json"),
        "data": arm.data,
        "seed": seed,
        "steps": report.steps,
        "slices_seen": report.slices_seen,
        "validation": dict(report.validation),
        "curves": {name: list(points) for name, points in report.curves.items()},
        "notes": list(report.notes),
        "train_s": seconds,
        "score_s": time.perf_counter() - started,
        "healthy": healthy,
        "datasets": datasets,
        "lesion_free": _lesion_free(arm, method, pack, thresholds),
        "pack": pack.sha256,
        "recipe": pack.recipe,
        "shape": list(next(iter(pack.datasets.values())).image.shape[1:]),
        "device": _device(device),
        "versions": {name: version(name) for name in ("uad-bench", "torch", "numpy")},
        "commit": _commit(),
    }
    arrays = {key: value.astype(np.float16) for key, value in pictures.items()}
    partial = folder / f".{arm.name}-s{seed}.npz"
    np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(folder / f"{arm.name}-s{seed}.npz")
    write_whole(folder / f"{arm.name}-s{seed}.json", json.dumps(record).encode())


def _train(
    arm: Arm, seed: int, size: Size, pack: Pack, device: str
) -> tuple[Method, FitReport, float]:
    kind = discover().method(arm.method)
    fields = kind.Params.model_fields
    sized: dict[str, Any] = {
        "width": size.width,
        "batch_size": size.batch_size,
        "steps": arm.longer * size.slices // size.batch_size,
        "learning_rate": size.learning_rate,
    }
    sized = {name: value for name, value in sized.items() if name in fields and value is not None}
    plain = PLAIN.get(arm.method, {})
    method = kind(kind.Params.model_validate({**sized, **plain, **arm.params}))
    healthy = pack.datasets["healthy"]
    train = healthy.slices(healthy.rows("train"), pack.spacing)
    if arm.data == "healthy and lesion-free":
        extra = pack.datasets["lesion-free"]
        train = _joined(train, extra.slices(extra.rows("test"), pack.spacing))
    context = FitContext(
        seed=seed,
        device=device,
        tissue_prior=pack.prior if "tissue_prior" in kind.info.needs else None,
    )
    started = time.perf_counter()
    report = method.fit(train, healthy.slices(healthy.rows("validation"), pack.spacing), context)
    return method, report, time.perf_counter() - started


def _joined(first: Slices, second: Slices) -> Slices:
    parts = (first, second)
    return Slices(
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.brain for part in parts]),
        np.concatenate([part.z for part in parts]),
        first.spacing,
    )


def _maps(residual: FloatArray) -> dict[str, FloatArray]:
    """The anomaly maps of a signed residual ``[N, H, W]``, per post-processing."""
    positive = np.maximum(residual, np.float32(0))
    return {
        "none": NONE.apply(residual),
        "star": STAR.apply(residual),
        "star3d": ndimage.median_filter(positive, size=3, mode="nearest"),
    }


def _scored(
    method: Method, pack: Pack, dataset: PackedDataset, split: str
) -> dict[str, list[ScoredScan]]:
    found: dict[str, list[ScoredScan]] = {post: [] for post in POSTS}
    for scan, slices, lesion in scan_slices(pack, dataset):
        if scan.split != split:
            continue
        residual, _ = signed_residual(method, slices)
        for post, scores in _maps(residual).items():
            found[post].append(_scan(scan.subject, scan.session, scores, lesion, slices))
    return found


def _scan(
    subject: str,
    session: str | None,
    scores: FloatArray,
    lesion: NDArray[np.uint8],
    slices: Slices,
) -> ScoredScan:
    return ScoredScan(
        subject=subject,
        session=session,
        scores=quantise(scores),
        lesion=lesion,
        brain=slices.brain[:, 0],
        spacing=slices.spacing,
        z=slices.z,
    )


def _patients(
    method: Method, pack: Pack, dataset: PackedDataset, thresholds: Mapping[str, ScoreHistogram]
) -> dict[str, Any]:
    """Everything about one dataset of patients."""
    scored: dict[str, list[ScoredScan]] = {post: [] for post in POSTS}
    contrasts = []
    for scan, slices, lesion in scan_slices(pack, dataset):
        residual, reconstruction = signed_residual(method, slices)
        for post, scores in _maps(residual).items():
            scored[post].append(_scan(scan.subject, scan.session, scores, lesion, slices))
        if reconstruction is not None:
            contrasts.append(_contrast(slices, reconstruction, lesion))
    posts = {}
    for post, scans in scored.items():
        result = STRICT.evaluate(lambda scans=scans: iter(scans), thresholds[post])
        pooled = sum((scan.whole_slice_histogram() for scan in scans), ScoreHistogram.empty())
        posts[post] = {
            "auprc_pooled": average_precision(pooled),
            "thresholds": dict(result.thresholds),
            "metrics": {name: metric.value for name, metric in result.metrics.items()},
            "scans": [
                {"subject": scan.subject, "session": scan.session, **scan.metrics}
                for scan in result.scans
            ],
        }
    return {"simulated": dataset.simulated, "posts": posts, "contrast": contrasts}


def _lesion_free(
    arm: Arm, method: Method, pack: Pack, thresholds: Mapping[str, ScoreHistogram]
) -> dict[str, list[dict[str, Any]]]:
    """False positives in the lesion-free slices of real patients, if it did not learn from them."""
    dataset = pack.datasets.get("lesion-free")
    if dataset is None or arm.data == "healthy and lesion-free":
        return {}
    found = {}
    for post, scans in _scored(method, pack, dataset, split="test").items():
        result = STRICT.evaluate(lambda scans=scans: iter(scans), thresholds[post])
        found[post] = [
            {"subject": scan.subject, "session": scan.session, "fpr": scan.metrics["fpr"]}
            for scan in result.scans
        ]
    return found


def _contrast(
    slices: Slices, reconstruction: FloatArray, lesion: NDArray[np.uint8]
) -> dict[str, float | None]:
    """How much of the lesion's contrast the reconstruction keeps, and its error elsewhere.

    Contrast is the mean inside the lesion less the mean of the healthy brain; 0 kept is a lesion
    that is gone, 1 one that is copied.
    """
    image, brain = slices.image[:, 0], slices.brain[:, 0]
    inside, outside = (lesion == 1) & brain, (lesion == 0) & brain
    if not inside.any():
        return {"kept": None, "inside": None, "outside": None}
    before = float(image[inside].mean() - image[outside].mean())
    after = float(reconstruction[inside].mean() - reconstruction[outside].mean())
    error = np.abs(image - reconstruction)
    return {
        "kept": after / before,
        "inside": float(error[inside].mean()),
        "outside": float(error[outside].mean()),
    }


def _healthy(method: Method, pack: Pack) -> list[dict[str, float | None]]:
    """Reconstruction error, similarity and tissue Dice of each unseen healthy person."""
    found = []
    dataset = pack.datasets["unseen"]
    for scan, slices, _ in scan_slices(pack, dataset):
        residual, reconstruction = signed_residual(method, slices)
        if reconstruction is None:
            continue
        values: dict[str, float | None] = {
            "l1": float(np.abs(residual).mean()),
            "l1_brain": float(np.abs(residual[slices.brain[:, 0]]).mean()),
            "ssim": ssim(slices.image, reconstruction[:, None], slices.brain),
        }
        if hasattr(method, "tissues"):
            maps = method.tissues(slices)
            tissue = dataset.tissue[scan.start : scan.stop]
            dice = tissue_dice(maps, tissue, slices.brain)
            values |= {f"dice_{name}": value for name, value in dice.items()}
            values["sum_error"] = float(np.abs(maps.sum(axis=1) - 1)[slices.brain[:, 0]].mean())
        found.append(values)
    return found


def _pictures(
    method: Method, pack: Pack, label: str, dataset: PackedDataset
) -> dict[str, NDArray[Any]]:
    """The slice with the most lesion of a dataset's first patients: residual and tissue maps."""
    kept: dict[str, NDArray[Any]] = {}
    for scan, slices, lesion in list(scan_slices(pack, dataset))[:EXAMPLES]:
        at = int((lesion == 1).sum(axis=(1, 2)).argmax())
        one = Slices(
            slices.image[at : at + 1],
            slices.brain[at : at + 1],
            slices.z[at : at + 1],
            pack.spacing,
        )
        residual, reconstruction = signed_residual(method, one)
        key = f"{label}/{scan.name}"
        kept[f"{key}/score"] = _maps(residual)["star"][0]
        if reconstruction is not None:
            kept[f"{key}/reconstruction"] = reconstruction[0]
        if hasattr(method, "tissues"):
            kept[f"{key}/tissues"] = method.tissues(one)[0]
    return kept


def _device(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s)"


def _commit() -> str:
    here = Path(__file__).parent
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "unknown"
