"""Error of the registration to the template: the numbers of ``docs/studies/registration.md``.

Raw phantoms, whose true way to MNI152 is known, and real stripped scans (``$UAD_BENCH_SHARED``)
turned and shifted by a known pose are registered by each kind, and printed as Markdown tables.

    OMP_NUM_THREADS=1 python -m studies.registration --kinds affine,affine-fast
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from uad_bench.phantom.datasets import simulate_subject
from uad_bench.phantom.raw import PROTOCOLS, RawPhantom, moved, raw_phantom
from uad_bench.phantom.scan import PhantomScan
from uad_bench.volumes.grid import Affine, FloatArray
from uad_bench.volumes.recipe import Recipe, RegistrationKind
from uad_bench.volumes.steps.register import Target, load_target, register
from uad_bench.volumes.steps.resample import resample_lesion
from uad_bench.volumes.steps.space import SRI24_TO_MNI152, overlap, template_brain, template_grid

REPOSITORY = Path(__file__).resolve().parents[1]
SEED = 0
PHANTOMS = (
    ("hi", 1, 0),
    ("mslub", 3, 4),
    ("brats", 2, 4),
    ("gbi", 3, 2),
    ("msi", 2, 3),
    ("wmh", 1, 1),
    ("hi", 2, 1),
    ("gbi", 6, 3),
    ("brats", 5, 1),
    ("mslub", 1, 2),
    ("wmh", 4, 4),
    ("brats", 1, 0),
)
"""Dataset, subject and which of ``PROTOCOLS``."""


@dataclass(frozen=True)
class Real:
    """A real stripped scan; ``to_mni152`` is the way that its header promises, if any."""

    name: str
    image: FloatArray
    brain: NDArray[np.bool_]
    affine: Affine
    to_mni152: Affine | None


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(get_args(RegistrationKind)))
    parser.add_argument("--template", type=Path, help="SRI24 instead of MNI152")
    arguments = parser.parse_args()
    kinds: list[RegistrationKind] = arguments.kinds.split(",")
    target = load_target(arguments.template)
    phantom_table(target, kinds)
    default = REPOSITORY.parent / "shared" / "data"
    real_table(target, kinds, Path(os.environ.get("UAD_BENCH_SHARED", default)))


def timed(
    target: Target,
    kind: RegistrationKind,
    image: FloatArray,
    brain: NDArray[np.bool_],
    affine: Affine,
) -> tuple[Affine, float]:
    """Register, and the processor time it took in s."""
    start = time.process_time()
    return register(image, brain, affine, target, kind), time.process_time() - start


def phantom_table(target: Target, kinds: list[RegistrationKind]) -> None:
    """Print the errors of the raw phantoms against the truth."""
    print("| phantom | grid | before | kind | error | to the warp | Dice | Dice, whole | CPU s |")
    print("|---" * 9 + "|")
    errors: dict[RegistrationKind, list[float]] = {kind: [] for kind in kinds}
    for dataset, subject, number in PHANTOMS:
        scan = simulate_subject(dataset, subject, seed=SEED)[0]
        raw = raw_phantom(dataset, scan, seed=SEED, protocol=PROTOCOLS[number])
        for kind in kinds:
            found, seconds = timed(target, kind, raw.flair, raw.brain > 0, raw.affine)
            errors[kind].append(raw.error_mm(found))
            cells = [f"{dataset} {subject}", raw.protocol.name, f"{raw.error_mm(np.eye(4)):.1f}"]
            cells += [kind, f"{raw.error_mm(found):.2f}", f"{raw.full_error_mm(found):.2f}"]
            cells += [f"{dice:.3f}" if dice else "-" for dice in lesion_dice(scan, raw, found)]
            print("| " + " | ".join([*cells, f"{seconds:.1f}"]) + " |", flush=True)
    for kind, values in errors.items():
        print(f"\n{kind}: mean {np.mean(values):.2f} mm, largest {max(values):.2f} mm", flush=True)


def lesion_dice(scan: PhantomScan, raw: RawPhantom, found: Affine) -> tuple[float, float]:
    """Dice on the template grid of the raw mask as registered, with two truths; 0 without lesion.

    They are the raw mask in its true place, and the phantom's own mask in its true place, of
    which thick slices have lost a part.
    """
    if not raw.lesion.any():
        return 0.0, 0.0
    grid = template_grid(Recipe())
    own = raw.to_mni152 @ np.linalg.inv(raw.to_phantom) @ scan.affine
    ours = resample_lesion(raw.lesion, found @ raw.affine, grid)
    placed = resample_lesion(raw.lesion, raw.to_mni152 @ raw.affine, grid)
    whole = resample_lesion((scan.lesion > 0).astype(np.uint8), own, grid)
    return dice(ours > 0, placed > 0), dice(ours > 0, whole > 0)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Overlap of two masks."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def real_table(target: Target, kinds: list[RegistrationKind], data: Path) -> None:
    """Print what can be said of real scans: repeatability, and the distance from their header."""
    print("\n| scan | kind | turned, not turned | to its header | size | Dice of brains | CPU s |")
    print("|---" * 7 + "|")
    rng = np.random.default_rng(SEED)
    brain, grid = template_brain(Recipe()), template_grid(Recipe())
    for scan in real_scans(data):
        places = moved(np.argwhere(scan.brain)[::50].astype(np.float64), scan.affine)
        pose = turn(rng, places.mean(axis=0))
        promised = np.eye(4) if scan.to_mni152 is None else scan.to_mni152
        for kind in kinds:
            still, _ = timed(target, kind, scan.image, scan.brain, scan.affine)
            turned, seconds = timed(target, kind, scan.image, scan.brain, pose @ scan.affine)
            header = distance(places, still, promised)
            size = np.cbrt(np.linalg.det(still) / np.linalg.det(promised))
            fit = overlap(scan.brain, still @ scan.affine, brain, grid)
            cells = [scan.name, kind, f"{distance(places, turned @ pose, still):.2f}"]
            cells += ["-" if scan.to_mni152 is None else f"{header:.1f}", f"{size:.3f}"]
            print("| " + " | ".join([*cells, f"{fit.dice:.3f}", f"{seconds:.1f}"]) + " |",
                  flush=True)  # fmt: skip


def turn(rng: np.random.Generator, centre: NDArray[np.float64]) -> Affine:
    """A turn by 20 to 30 degrees about ``centre`` and a shift by up to 60 mm."""
    axis = rng.standard_normal(3)
    matrix = np.eye(4)
    angle = rng.uniform(20, 30)
    turning = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis), degrees=True)
    matrix[:3, :3] = turning.as_matrix()
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + rng.uniform(-60, 60, 3)
    return matrix


def distance(places: NDArray[np.float64], first: Affine, second: Affine) -> float:
    """Mean distance in mm of places under two affines."""
    apart = moved(places, first) - moved(places, second)
    return float(np.linalg.norm(apart, axis=1).mean())


def real_scans(data: Path) -> Iterator[Real]:
    """The stripped scans of ``data``."""
    found = [(path, np.eye(4)) for path in sorted(data.glob("MSLUB/*/FLAIR.nii.gz"))]
    found += [(p, SRI24_TO_MNI152) for p in sorted(data.glob("BraTS/HGG/*/*_flair.nii.gz"))]
    kirby = data / "healthy" / "kirby113-02_FLAIR_stripped.nii.gz"
    for path, to_mni152 in [*found, (kirby, None)]:
        image = nib.load(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
        name = path.parent.name if path.name == "FLAIR.nii.gz" else path.name.split(".")[0]
        yield Real(name, values, values != 0, np.asarray(image.affine), to_mni152)


if __name__ == "__main__":
    main()
