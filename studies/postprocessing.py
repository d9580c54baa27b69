"""What each post-processing does to small lesions.

Balls of 10 mm3 to 1 ml are painted into the white matter of simulated healthy people. The threshold
of each post-processing is that of 1 % false positives on other simulated people. Prints a Markdown
table per method:

    python -m studies.postprocessing [--methods thresholding,outlier] [--phantoms 6]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import uad_bench as ub
from uad_bench.evaluation.masks.components import Components
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.stack import stacked
from uad_bench.method import Slices
from uad_bench.plugins.registry import discover
from uad_bench.runner.detectors.scoring import brain_on, signed_residual
from uad_bench.volumes.store.prepared import PreparedDataset

SIZES_MM3 = (10, 30, 100, 300, 1000)
EACH = 8
"""Lesions of each size that are painted into a scan, at most."""
APART_MM = 20.0
"""Between the centres of two lesions."""
BRIGHTER = 0.25
"""What a lesion adds to normalised intensities, whose white matter is near 0.55."""
FINER = 5
"""Points along each edge of a voxel that say how much of it a ball fills."""
WHITE = 2
"""Of CSF, grey and white matter."""
POSTPROCESSINGS = (
    "none",
    "star",
    "median3d=3",
    "median3d",
    "erode",
    "erode=10",
    "prior-quantile",
    "min-size",
    "min-size=100",
    "star+min-size",
    "star+median3d=3",
)


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A healthy scan with lesions: its slices, and the size of the lesion at each voxel."""

    slices: Slices
    sizes: NDArray[np.int64]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="thresholding,outlier")
    parser.add_argument(
        "--phantoms", type=int, default=6, help="healthy people are 4 times as many"
    )
    parser.add_argument("--steps", type=int, help="of a network's training")
    parser.add_argument("--cache")
    arguments = parser.parse_args()
    where = {"phantoms": arguments.phantoms, "cache": arguments.cache, "progress": False}
    healthy = ub.prepare("hi", **where)
    painted = list(_painted(healthy))
    variants = discover().postprocessings(POSTPROCESSINGS)
    for name in arguments.methods.split(","):
        steps = {} if arguments.steps is None else {"steps": arguments.steps}
        detector = ub.fit(
            name, postprocessing=",".join(POSTPROCESSINGS), tune=False, **steps, **where
        )
        print(f"\n{name}, {len(painted)} simulated people\n")
        heading = " | ".join(f"{size} mm3" for size in SIZES_MM3)
        print(f"| post-processing | {heading} | false findings |")
        print("|---" + "|--:" * (len(SIZES_MM3) + 1) + "|")
        for row in _rows(detector, variants, painted):
            print(row)


def _rows(
    detector: ub.Detector, variants: Sequence[PostProcessing], painted: Sequence[Painted]
) -> Iterator[str]:
    """Yield a row per post-processing."""
    residuals = [signed_residual(detector.method, one.slices)[0] for one in painted]
    for variant in variants:
        threshold = detector.threshold(variant.name)
        assert threshold is not None
        hits, findings = [], []
        for one, residual in zip(painted, residuals, strict=True):
            brain = brain_on(one.slices)
            found = (variant.apply(residual, brain) >= threshold - 0.5 / 65535) & brain.brain
            hits.append([found[one.sizes == size] for size in SIZES_MM3])
            findings.append(_false_findings(found, one, brain.z))
        recalls = [np.concatenate(some).mean() for some in zip(*hits, strict=True)]
        numbers = " | ".join(f"{recall:.2f}" for recall in recalls)
        yield f"| `{variant.name}` | {numbers} | {np.mean(findings):.0f} |"


def _false_findings(found: NDArray[np.bool_], one: Painted, z: NDArray[np.int64]) -> int:
    """Count the components of a prediction that share no voxel with a lesion."""
    findings = Components.of(stacked(found, z))
    lesions = Components.of(stacked(one.sizes > 0, z))
    return len(findings.sizes) - len(np.unique(findings.shared(lesions)[:, 0]))


def _painted(healthy: PreparedDataset) -> Iterator[Painted]:
    """Paint lesions into the test scans."""
    for number, scan in enumerate(healthy.scans_of("test")):
        slices = healthy.slices(scan)
        draws = np.random.default_rng(number)
        spacing = np.array(slices.spacing)
        image = np.array(slices.image[:, 0])
        sizes = np.zeros(image.shape, np.int64)
        centres: list[NDArray[np.float64]] = []
        likely_white = healthy.tissue_of(scan)[:, WHITE] > 127
        white = draws.permutation(np.argwhere(likely_white)) * spacing
        for size in np.repeat(SIZES_MM3[::-1], EACH):
            for centre in white:
                if all(np.linalg.norm(centre - other) > APART_MM for other in centres):
                    _paint(
                        image,
                        sizes,
                        centre + draws.uniform(-0.5, 0.5, 3) * spacing,
                        int(size),
                        spacing,
                    )
                    centres.append(centre)
                    break
        yield Painted(replace(slices, image=image.clip(0, 1)[:, None]), sizes)


def _paint(
    image: NDArray[np.float32],
    sizes: NDArray[np.int64],
    centre: NDArray[np.float64],
    size: int,
    spacing: NDArray[np.float64],
) -> None:
    """Add a ball. A voxel that it fills in part gets that part of the brightness."""
    radius = (3 * size / (4 * np.pi)) ** (1 / 3)
    first = np.maximum(np.floor((centre - radius) / spacing).astype(int), 0)
    last = np.minimum(np.ceil((centre + radius) / spacing).astype(int) + 1, image.shape)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    fine = (np.arange(FINER) + 0.5) / FINER - 0.5
    axes = [
        ((np.arange(part.start, part.stop)[:, None] + fine).ravel() * step - middle) ** 2
        for part, step, middle in zip(box, spacing, centre, strict=True)
    ]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] <= radius**2
    shape = [n for part in box for n in (part.stop - part.start, FINER)]
    share = inside.reshape(shape).mean(axis=(1, 3, 5))
    image[box] += np.float32(BRIGHTER) * share.astype(np.float32)
    sizes[box][share >= 0.5] = size


if __name__ == "__main__":
    main()
