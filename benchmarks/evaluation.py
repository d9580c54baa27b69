"""How fast the evaluation is, side by side with what people use, in one run on one machine.

Prints for each piece the time of both and their ratio, and checks that they agree. The data are
simulated: an ellipsoid of a brain, smooth random lesions, scores with noise.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py [--repeat 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from monai.transforms import MedianSmooth
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve
from surface_distance import compute_robust_hausdorff, compute_surface_distances

from uad_bench.evaluation.hausdorff import surface_distance
from uad_bench.evaluation.histograms import (
    ScoreHistogram,
    average_precision,
    max_dice,
    quantise,
)
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.protocol import validation_histogram
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import ScoredScan

SHAPE = (80, 128, 128)
SPACING = (2.0, 1.5, 1.5)


def simulate(seed: int) -> ScoredScan:
    """One simulated scan of 80 slices: 1.5 % of the brain is lesion, scores are noisy."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:80, :128, :128]
    brain = ((z - 40) / 36) ** 2 + ((y - 64) / 58) ** 2 + ((x - 64) / 48) ** 2 < 1
    field = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2)
    lesion = brain & (field > np.quantile(field[brain], 0.985))
    scores = np.clip(0.3 + 0.1 * rng.normal(size=SHAPE) + 0.15 * lesion, 0, 1) * brain
    return ScoredScan(
        subject=f"s{seed}",
        session=None,
        scores=quantise(scores),
        lesion=lesion.astype(np.uint8),
        brain=brain,
        spacing=SPACING,
        z=np.arange(80),
    )


def best_time(work: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """The shortest of ``repeat`` runs in seconds, and the result."""
    times, result = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def compare(
    piece: str,
    theirs_name: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    repeat: int,
) -> None:
    """Print one row: both times, the ratio, and the largest difference of the results."""
    our_time, our_result = best_time(ours, repeat)
    their_time, their_result = best_time(theirs, repeat)
    difference = np.max(np.abs(np.subtract(our_result, their_result, dtype=np.float64)))
    print(
        f"{piece:34s} {our_time:9.4f} {theirs_name:26s} {their_time:9.4f} "
        f"{their_time / our_time:8.1f}x {difference:10.1e}"
    )


def pooled(scans: list[ScoredScan], repeat: int) -> None:
    """Average precision and maximum Dice of all voxels of six scans."""
    scores = np.concatenate([scan.scores.ravel() for scan in scans])
    lesion = np.concatenate([scan.lesion.ravel() for scan in scans])

    def ours() -> tuple[float | None, float]:
        histogram = ScoreHistogram.of(scores, lesion)
        best = max_dice(histogram)
        assert best is not None
        return average_precision(histogram), best[0]

    def theirs() -> tuple[float, float]:
        precision, recall, _ = precision_recall_curve(lesion, scores)
        with np.errstate(invalid="ignore"):
            dice = np.nanmax(2 * precision * recall / (precision + recall))
        return float(average_precision_score(lesion, scores)), float(dice)

    compare(f"AUPRC + max Dice, {len(scores):.0e} voxels", "scikit-learn", ours, theirs, repeat)


def distances(scan: ScoredScan, share: float, repeat: int) -> None:
    """Hausdorff and HD95 between lesions and a prediction with many false positives."""
    lesion = scan.lesion_mask
    threshold = int(np.quantile(scan.scores[scan.brain & ~lesion], 1 - share))
    prediction = scan.predicted(threshold) & scan.brain
    tensors = [torch.from_numpy(mask)[None, None] for mask in (prediction, lesion)]

    def ours() -> tuple[float, float]:
        found = surface_distance(prediction, lesion, SPACING, penalty=0.0)
        assert found is not None
        return found.hd, found.hd95

    def monai() -> list[float]:
        return [
            float(
                compute_hausdorff_distance(
                    *tensors, include_background=True, percentile=percentile, spacing=list(SPACING)
                )[0, 0]
            )
            for percentile in (None, 95)
        ]

    def deepmind() -> list[float]:
        found = compute_surface_distances(prediction, lesion, SPACING)
        return [compute_robust_hausdorff(found, percentile) for percentile in (100, 95)]

    piece = f"HD + HD95, {share:.0%} false positives"
    compare(piece, "MONAI (one call each)", ours, monai, repeat)
    compare(piece, "surface-distance (surfels)", ours, deepmind, repeat)


def median(scan: ScoredScan, repeat: int) -> None:
    """The starred post-processing of one scan."""
    residual: NDArray[np.float32] = scan.scores.astype(np.float32) / np.float32(65535) - np.float32(
        0.2
    )
    piece = "positive residual + median 3x3"
    smooth = MedianSmooth(radius=1)

    def ours() -> NDArray[np.float32]:
        return STAR.apply(residual)

    def by_scipy() -> Any:
        return ndimage.median_filter(np.maximum(residual, 0), size=(1, 3, 3), mode="nearest")

    def by_monai() -> Any:
        return np.asarray(smooth(torch.from_numpy(np.maximum(residual, 0))[:1]))[0]

    compare(piece, "scipy median_filter", ours, by_scipy, repeat)
    one = residual[:1]
    compare(
        "the same, one slice of it",
        "MONAI MedianSmooth",
        lambda: STAR.apply(one)[0, 2:-2, 2:-2],
        lambda: by_monai()[2:-2, 2:-2],
        repeat,
    )


def main() -> None:
    """Run every comparison, then time both protocols on six scans."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the best counts")
    repeat = parser.parse_args().repeat
    torch.set_num_threads(1)
    scans = [simulate(seed) for seed in range(6)]
    print(f"{'piece':34s} {'ours s':>9s} {'other':26s} {'other s':>9s} {'ratio':>9s} difference")
    pooled(scans, repeat)
    for share in (0.01, 0.05, 0.2):
        distances(scans[0], share, repeat)
    median(scans[0], repeat)
    validation = validation_histogram(scans[:1])
    for protocol in (STRICT, PAPER):
        seconds, _ = best_time(
            lambda protocol=protocol: protocol.evaluate(lambda: iter(scans), validation),
            repeat,
        )
        what = f"protocol {protocol.name}, six scans of 80 slices, intervals included"
        print(f"{what}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
