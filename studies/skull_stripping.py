"""Skull stripping of FLAIR, measured: simulated heads with a true brain mask, and real heads.

Whole-head label maps (FreeSurfer's numbering for the brain, CHARM's 502 to 530 around it) become
raw FLAIR scans with scalp, orbits, marrow, bias field and noise, thin and thick slices. Every
candidate strips them, and the table compares its mask with the true one. A folder of real heads
has no truth: their table has volumes, and the picture shows the outlines.

    pip install 'uad-bench[prepare]' deepbet
    python -m studies.skull_stripping --anatomies DIR [--heads N] [--real FILE ...]
        [--head-template FILE] [--picture FILE.png]

Prints the tables of ``docs/studies/skull-stripping.md``.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"

import resource
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.phantom.brain.fields import Array, smooth_field
from uad_bench.phantom.brain.labelmap import find_label_maps
from uad_bench.volumes.grid import Affine
from uad_bench.volumes.steps.strip import StripTool, strip

Mask = NDArray[np.bool_]

# Labels: FreeSurfer's numbers, and around the brain those of CHARM (SimNIBS).
WHITE: Final = (2, 41, 7, 46, 16, 25, 57, 77, 85, 28, 60)
CORTEX: Final = (3, 42)
GREY: Final = (8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58)
GREY_AT_SURFACE: Final = (136, 137, 163, 164)
VENTRICLES: Final = (4, 5, 14, 15, 43, 44, 30, 62, 31, 63, 72)
OUTER_CSF: Final = 24
ARTERY, EYE, SOFT, RECTUS, MUCOSA, SKIN, CORD = 502, 506, 507, 508, 509, 511, 512
VEIN, BONE, MARROW, NERVE = 514, 515, 516, 530

DRAWN: Final = 3
"""Heads in the picture."""

CLOSING_MM: Final = 6.0
"""Sulci narrower than twice this belong to the brain, as in the phantoms."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a head is scanned.

    Attributes:
        spacing: voxel size in mm along the axes that ``codes`` names.
        codes: nibabel axis codes of the file.
        fat: signal of subcutaneous and orbital fat relative to white matter; below 1 where the
            protocol suppresses fat.
        noise: standard deviation of the complex noise relative to white matter.
        bias: relative standard deviation of the multiplicative field.
        tilt: rotation of the head about the left-right axis, in degrees.
        height_mm: slab from the vertex downwards; the whole map where it is larger.
    """

    spacing: tuple[float, float, float]
    codes: str
    fat: float
    noise: float
    bias: float
    tilt: float
    height_mm: float


PROTOCOLS: Final = (
    Protocol((1.0, 1.0, 1.0), "RAS", 0.5, 0.04, 0.10, 4, 190),  # 3D, fat suppressed
    Protocol((0.72, 0.72, 4.8), "LPS", 3.2, 0.02, 0.12, -6, 150),  # 2D
    Protocol((0.9, 0.9, 6.5), "LAS", 2.2, 0.04, 0.15, 10, 135),  # 2D, 1.5 T
    Protocol((1.0, 0.9, 0.9), "PIR", 0.9, 0.06, 0.15, -3, 200),  # 3D, sagittal
    Protocol((0.9, 0.9, 5.0), "LPS", 2.6, 0.07, 0.20, 0, 150),  # 2D, noisy
    Protocol((1.2, 1.0, 1.0), "RPS", 0.6, 0.05, 0.25, 8, 170),  # 3D, strong field
    Protocol((0.96, 0.96, 3.0), "LAS", 1.6, 0.05, 0.12, -10, 160),  # 2D, 3 mm
    Protocol((0.9, 0.9, 7.5), "RAS", 2.8, 0.03, 0.15, 5, 150),  # 2D, thickest
)


@dataclass(frozen=True, slots=True)
class Head:
    """A simulated scan: ``image`` float32 ``[X, Y, Z]``, its affine, and the true masks.

    Attributes:
        image: FLAIR with everything around the brain.
        affine: voxel to world in mm.
        brain: parenchyma and ventricles with sulci closed by ``CLOSING_MM``.
        tissue: parenchyma and ventricles alone.
    """

    image: Array
    affine: Affine
    brain: Mask
    tissue: Mask


def closed(mask: Mask, radius: float) -> Mask:
    """Close ``mask`` (1 mm voxels) by a ball of ``radius`` mm and fill its holes."""
    unit = np.ones(3)
    result = shrunk(np.pad(grown(mask, radius, unit), 1), radius, unit)
    return np.asarray(ndimage.binary_fill_holes(result[1:-1, 1:-1, 1:-1] | mask))


def head_signal(labels: NDArray[np.int16], fat: float, rng: np.random.Generator) -> Array:
    """FLAIR signal of a head on the label map's 1 mm grid; white matter is 1, air 0.

    Soft tissue (one label) is fat below the skin and behind the eyes, muscle with streaks of fat
    elsewhere. Dura, which the maps lack, is the fluid that touches bone.
    """
    shape: tuple[int, int, int] = labels.shape
    signal = np.zeros(shape, dtype=np.float32)
    suppressed = fat < 1
    values = {
        WHITE: 1.0, CORTEX: 1.24, GREY: 1.12, GREY_AT_SURFACE: 1.15, VENTRICLES: 0.06,
        (OUTER_CSF,): 0.08, (ARTERY,): 0.12, (VEIN,): 0.35, (EYE,): 0.08, (RECTUS,): 0.6,
        (MUCOSA,): 0.9, (SKIN,): 0.45 if suppressed else 0.9, (CORD, NERVE): 0.95,
        (BONE,): 0.06, (MARROW,): 0.55 * fat,
    }  # fmt: skip
    for group, value in values.items():
        signal[np.isin(labels, group)] = value
    patchy = smooth_field(rng, shape, 6.0)
    soft = labels == SOFT
    depth = ndimage.distance_transform_edt(soft | (labels != SKIN) & (labels != 0))
    behind_eye = ndimage.distance_transform_edt(labels != EYE) < 22
    is_fat = soft & ((depth < 7 + 2 * patchy) | behind_eye | (patchy > 1.3))
    signal[soft] = 0.4
    signal[is_fat] = fat
    touches_bone = ndimage.distance_transform_edt((labels != BONE) & (labels != MARROW)) <= 1.5
    dura = (labels == OUTER_CSF) & touches_bone
    signal[dura] = (0.35 + 0.2 * np.clip(patchy, -1, 2))[dura]
    around = labels >= ARTERY
    texture = 0.03 + 0.12 * around.astype(np.float32)
    signal *= 1 + texture * smooth_field(rng, shape, 2.2)
    signal *= 1 + np.float32(0.04) * smooth_field(rng, shape, 22.0)
    return np.clip(signal, 0, None)


def scan_grid(labels: NDArray[np.int16], protocol: Protocol) -> tuple[Affine, tuple[int, ...]]:
    """The scan's grid over a head: voxel to the map's indices (1 mm, RAS), and its shape."""
    angle = np.deg2rad(protocol.tilt)
    tilt = np.eye(3)
    tilt[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    points = np.argwhere(labels[::4, ::4, ::4] > 0) * 4.0 @ tilt
    low, high = points.min(axis=0) - 8, points.max(axis=0) + 8
    low[2] = max(low[2], high[2] - protocol.height_mm)
    axes = nib.orientations.axcodes2ornt(tuple(protocol.codes))
    affine, shape = np.eye(4), []
    for axis, (world, sign) in enumerate(axes.astype(int)):
        step = protocol.spacing[axis]
        shape.append(int((high[world] - low[world]) / step) + 1)
        affine[:3, axis] = sign * step * tilt[:, world]
        affine[:3, 3] += tilt[:, world] * (low[world] if sign > 0 else high[world])
    return affine, tuple(shape)


def simulate(path: Path, protocol: Protocol, seed: int) -> Head:
    """Scan the anatomy of a label map with ``protocol``."""
    rng = np.random.default_rng(seed)
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.rint(np.asarray(image.dataobj)).astype(np.int16)
    box = ndimage.find_objects((labels > 0).astype(np.uint8))[0]
    labels = labels[box]
    world = image.affine.copy()
    world[:3, 3] += world[:3, :3] @ [part.start for part in box]

    tissue = np.isin(labels, WHITE + CORTEX + GREY + GREY_AT_SURFACE + VENTRICLES)
    tissue &= ndimage.binary_opening(tissue, iterations=1)
    to_map, shape = scan_grid(labels, protocol)
    # A voxel sees its own volume: blur along the map's axes by what is missing to the spacing.
    extent = np.abs(to_map[:3, :3]).max(axis=1)
    sigma = np.sqrt(np.clip(extent**2 - 0.5, 0.1, None)) / 2.3548

    def acquire(values: Array) -> Array:
        blurred = ndimage.gaussian_filter(values, sigma, mode="nearest")
        return np.asarray(
            ndimage.affine_transform(
                blurred, to_map[:3, :3], to_map[:3, 3], shape, order=1, mode="constant"
            ),
            dtype=np.float32,
        )

    bias = np.exp(np.float32(protocol.bias) * smooth_field(rng, labels.shape, 55.0))
    signal = acquire(bias * head_signal(labels, protocol.fat, rng))
    brain, tissue = (
        acquire(mask.astype(np.float32)) >= 0.5 for mask in (closed(tissue, CLOSING_MM), tissue)
    )
    real, imaginary = protocol.noise * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    return Head(300 * np.hypot(signal + real, imaginary), world @ to_map, brain, tissue)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A mask against the truth.

    Attributes:
        dice: with the true brain.
        tissue_dice: with parenchyma and ventricles alone.
        rim_ml: volume outside the true brain.
        bright_ml: the part of it that is brighter than the 99th percentile of the true brain.
        missed_ml: parenchyma and ventricles left out.
        hd95_mm: 95th percentile of the distances between the two surfaces, the larger direction.
    """

    dice: float
    tissue_dice: float
    rim_ml: float
    bright_ml: float
    missed_ml: float
    hd95_mm: float


def compare(mask: Mask, head: Head) -> Comparison:
    """Compare ``mask`` with the true brain of ``head``."""
    ml = abs(float(np.linalg.det(head.affine[:3, :3]))) / 1000
    rim = mask & ~head.brain
    bright = head.image > np.percentile(head.image[head.brain], 99)
    return Comparison(
        dice=dice(mask, head.brain),
        tissue_dice=dice(mask, head.tissue),
        rim_ml=int(rim.sum()) * ml,
        bright_ml=int((rim & bright).sum()) * ml,
        missed_ml=int((head.tissue & ~mask).sum()) * ml,
        hd95_mm=hd95(mask, head.brain, np.linalg.norm(head.affine[:3, :3], axis=0)),
    )


def dice(a: Mask, b: Mask) -> float:
    """Dice coefficient."""
    return 2 * int((a & b).sum()) / max(int(a.sum()) + int(b.sum()), 1)


def hd95(a: Mask, b: Mask, spacing: NDArray[np.float64]) -> float:
    """95th percentile of surface distances in mm, the larger of the two directions."""
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    a, b = (np.pad(mask[box], 1) for mask in (a, b))
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    away = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return max(
        float(np.percentile(away[1 - i][edges[i]], 95)) if edges[i].any() else np.inf
        for i in (0, 1)
    )


def deepbet_mask(image: Array, affine: Affine) -> Mask:
    """Deepbet (Fisch et al. 2024): two networks for T1, with the FLAIR as it is."""
    from deepbet import BrainExtraction

    extraction = BrainExtraction(no_gpu=True)
    _, mask, _ = extraction.run(nib.Nifti1Image(image, affine))
    return np.asarray(mask.dataobj) > 0


def template_mask(image: Array, affine: Affine, template: Path | None) -> Mask:
    """MNI152's brain mask (nilearn), brought over by ANTs: affine, mutual information, 2 mm.

    Args:
        image: the head.
        affine: voxel to world in mm.
        template: a head in MNI152 space; without one, nilearn's T1, which comes without skull,
            and which the brain mask keeps to the brain.
    """
    import ants
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{name}.nii") for name in ("head", "mask", "template")]
        nib.save(nib.Nifti1Image(image, affine), files[0])
        nib.save(load_mni152_brain_mask(resolution=2), files[1])
        nib.save(
            load_mni152_template(resolution=2) if template is None else nib.load(template), files[2]
        )
        head, brain, fixed = map(ants.image_read, files)
        found = ants.registration(
            fixed,
            head,
            "Affine",
            mask=brain if template is None else None,
            random_seed=1,
            outprefix=f"{folder}/to",
        )
        moved = ants.apply_transforms(
            head, brain, found["fwdtransforms"], "genericLabel", whichtoinvert=[True]
        )
        return np.asarray(moved.numpy() > 0.5)


def peeled(mask: Mask, image: Array, affine: Affine) -> Mask:
    """Refine a mask by intensity: what is as bright as its core, opened, then closed again."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    margin = np.ceil(2 * CLOSING_MM / spacing).astype(int)
    padded, values = (np.pad(part, [(n, n) for n in margin]) for part in (mask, image))
    box = ndimage.find_objects(padded.astype(np.uint8))[0]
    box = tuple(slice(s.start - n, s.stop + n) for s, n in zip(box, margin, strict=True))
    before, values = padded[box], values[box]

    inside = ndimage.distance_transform_edt(before, sampling=spacing)
    core = values[inside > 10]
    low, high = 0.5 * np.median(core), 1.1 * np.percentile(core, 99)
    brain = before & ((values > low) & (values < high) | (inside > 15))
    brain &= grown(shrunk(brain, 3.0, spacing), 3.0, spacing)
    parts, _ = ndimage.label(brain)
    brain = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    brain = shrunk(grown(brain, CLOSING_MM, spacing), CLOSING_MM, spacing)
    padded[box] = ndimage.binary_fill_holes(brain) & before
    return np.asarray(padded[tuple(slice(n, -n) for n in margin)], dtype=bool)


def grown(mask: Mask, radius: float, spacing: NDArray[np.float64]) -> Mask:
    """Dilate by a ball of ``radius`` mm."""
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= radius)


def shrunk(mask: Mask, radius: float, spacing: NDArray[np.float64]) -> Mask:
    """Erode by a ball of ``radius`` mm."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing) > radius)


def peeled_lesion(mask: Mask, head: Head, seed: int) -> float:
    """Share of a bright lesion at the brain's surface that peeling removes: 12 mm, 8 mm deep."""
    spacing = np.linalg.norm(head.affine[:3, :3], axis=0)
    depth = ndimage.distance_transform_edt(head.brain, sampling=spacing)
    places = np.argwhere((depth > 7) & (depth < 9))
    centre = places[np.random.default_rng(seed).integers(len(places))]
    steps = np.moveaxis(np.indices(head.image.shape), 0, -1) - centre
    lesion = (np.linalg.norm(steps * spacing, axis=-1) < 12) & head.brain
    image = np.where(lesion, 1.8 * np.median(head.image[head.brain]), head.image)
    return int((lesion & ~peeled(mask, image, head.affine)).sum()) / int(lesion.sum())


def masks_of(
    image: Array, affine: Affine, head_template: Path | None
) -> dict[str, tuple[Mask, float]]:
    """Every candidate's mask of a scan, and its seconds of CPU (one thread)."""
    found: dict[str, tuple[Mask, float]] = {}

    def run(name: str, work: Callable[[], Mask], before: Sequence[str] = ()) -> None:
        start = cpu_seconds()
        mask = work()
        spent = cpu_seconds() - start
        found[name] = (mask, spent + sum(found[other][1] for other in before))
        print(f"  {name}: {spent:.0f} s", file=sys.stderr, flush=True)

    for tool in get_args(StripTool):
        run(tool, functools.partial(strip, image, affine, tool))
    run("deepbet", lambda: deepbet_mask(image, affine))
    run("template brain", lambda: template_mask(image, affine, None))
    if head_template:
        run("template head", lambda: template_mask(image, affine, head_template))
    for name in ("robex", "hd-bet"):
        run(f"{name}, peeled", functools.partial(peeled, found[name][0], image, affine), [name])
    for a, b in (("deepbet", "robex"), ("deepbet", "hd-bet")):
        run(f"{a} and {b}", functools.partial(np.logical_and, found[a][0], found[b][0]), [a, b])
    return found


def cpu_seconds() -> float:
    """Seconds of CPU that this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def print_comparisons(rows: dict[str, list[tuple[Comparison, float]]]) -> None:
    """Print the table of simulated heads: means, and the worst Dice."""
    print(
        "| candidate | Dice | worst Dice | Dice, tissue only | rim, ml | bright rim, ml |", end=""
    )
    print(" missed, ml | HD95, mm | CPU, s |\n|---|" + "--:|" * 8)
    for name, results in rows.items():
        mean = {
            field: float(np.mean([getattr(result, field) for result, _ in results]))
            for field in Comparison.__dataclass_fields__
        }
        worst = min(result.dice for result, _ in results)
        seconds = float(np.mean([spent for _, spent in results]))
        print(
            f"| {name} | {mean['dice']:.3f} | {worst:.3f} | {mean['tissue_dice']:.3f} "
            f"| {mean['rim_ml']:.0f} | {mean['bright_ml']:.1f} | {mean['missed_ml']:.1f} "
            f"| {mean['hd95_mm']:.1f} | {seconds:.0f} |"
        )


def print_volumes(rows: dict[str, dict[str, tuple[float, float]]]) -> None:
    """Print the table of real heads: volume and bright rim per candidate."""
    print("| head | " + " | ".join(next(iter(rows.values()))) + " |")
    print("|---|" + "--:|" * len(next(iter(rows.values()))))
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(f"{v:.0f} ({b:.1f})" for v, b in cells.values()) + " |")


def bright_surface(mask: Mask, image: Array, affine: Affine) -> float:
    """Ml within 5 mm of the mask's surface that are brighter than 1.3 times its core's p99."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    limit = 1.3 * np.percentile(image[inside > 10], 99)
    ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    return int(((inside > 0) & (inside <= 5) & (image > limit)).sum()) * ml


def draw(
    heads: Sequence[tuple[Head, dict[str, Mask]]], candidates: Sequence[str], picture: Path
) -> None:
    """Draw candidates' outlines (red) and the true brain (green), a row per head."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(heads), 2 * len(candidates), figsize=(9.6, 2.2 * len(heads)), facecolor="black"
    )
    for row, (head, masks) in zip(np.atleast_2d(axes), heads, strict=True):
        turn = nib.io_orientation(head.affine)
        spacing = np.linalg.norm(head.affine[:3, :3], axis=0)[np.argsort(turn[:, 0])]
        views = [nib.apply_orientation(part, turn) for part in (head.image, head.brain)]
        centre = np.argwhere(views[1]).mean(axis=0).astype(int)
        top = 1.5 * np.percentile(head.image[head.brain], 99)
        for column, name in enumerate(candidates):
            planes = [*views, nib.apply_orientation(masks[name], turn)]
            cuts = [
                ([part[:, :, centre[2] + round(10 / spacing[2])].T for part in planes], (0, 1)),
                ([part[centre[0] + round(8 / spacing[0])].T for part in planes], (1, 2)),
            ]
            for axis, ((image, truth, mask), (across, up)) in zip(
                row[2 * column : 2 * column + 2], cuts, strict=True
            ):
                aspect = spacing[up] / spacing[across]
                axis.imshow(image, cmap="gray", vmin=0, vmax=top, origin="lower", aspect=aspect)
                axis.contour(truth, [0.5], colors="lime", linewidths=0.6)
                axis.contour(mask, [0.5], colors="red", linewidths=0.6)
                axis.axis("off")
            row[2 * column].set_title(name, color="white", fontsize=8, loc="left", pad=2)
    figure.subplots_adjust(0, 0, 1, 0.97, 0.02, 0.1)
    figure.savefig(picture, dpi=68, facecolor="black", metadata={"Software": ""})


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anatomies", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=len(PROTOCOLS))
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    parser.add_argument("--head-template", type=Path, help="a head in MNI152 space")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()

    comparisons: dict[str, list[tuple[Comparison, float]]] = {}
    losses: dict[str, list[float]] = {tool: [] for tool in get_args(StripTool)}
    drawn = []
    maps = find_label_maps(options.anatomies)[::2]
    for seed, (path, protocol) in enumerate(
        zip(maps[: options.heads], PROTOCOLS[: options.heads], strict=True)
    ):
        print(f"{path.name}: {protocol.spacing} mm", file=sys.stderr, flush=True)
        head = simulate(path, protocol, seed)
        masks = masks_of(head.image, head.affine, options.head_template)
        for name, (mask, seconds) in masks.items():
            comparisons.setdefault(name, []).append((compare(mask, head), seconds))
        for tool in get_args(StripTool):
            losses[tool].append(peeled_lesion(masks[tool][0], head, seed))
        drawn.append((head, {name: mask for name, (mask, _) in masks.items()}))
    print_comparisons(comparisons)
    for tool, shares in losses.items():
        lost = ", ".join(f"{share:.0%}" for share in shares)
        print(f"\nOf a bright lesion at the surface, peeling removes after {tool}: {lost}")

    volumes: dict[str, dict[str, tuple[float, float]]] = {}
    for path in options.real:
        print(path.name, file=sys.stderr, flush=True)
        volume = nib.load(path)
        image, affine = volume.get_fdata(dtype=np.float32), volume.affine
        ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        volumes[path.name.split(".")[0]] = {
            name: (int(mask.sum()) * ml, bright_surface(mask, image, affine))
            for name, (mask, _) in masks_of(image, affine, options.head_template).items()
        }
    if volumes:
        print()
        print_volumes(volumes)
    if options.picture:
        draw(drawn[:DRAWN], get_args(StripTool), options.picture)


if __name__ == "__main__":
    main()
