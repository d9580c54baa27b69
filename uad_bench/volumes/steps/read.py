"""Reading a scan's files with every check that a bad file deserves; one line for each failure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_bench.dataset import Scan, Space
from uad_bench.errors import ScanError
from uad_bench.volumes.files.masks import (
    check_labels,
    has_zero_background,
    labels_on,
    one_of,
    refuse_probabilities,
)
from uad_bench.volumes.files.nifti import MNI152, Volume, read_volume
from uad_bench.volumes.files.place import Labels, Mask, align
from uad_bench.volumes.grid import Affine, FloatArray, Grid
from uad_bench.volumes.steps.label_map import tissue_labels
from uad_bench.volumes.steps.space import TO_MNI152, Overlap, overlap

Shares = FloatArray | NDArray[np.bool_]
"""``[3, X, Y, Z]``: which part of each voxel is CSF, GM and WM; all or nothing where it is bool."""

MAX_NATIVE_BRAIN_ML = 2400.0
"""More than this is a head with its skull. Stripped scans here have 1084 to 1585 ml and at most
2140 in MNI152 space, whose brain is larger than a person's; heads have 3395 ml and more."""

_TEMPLATE_BOXES: tuple[tuple[Space, tuple[float, ...], tuple[float, ...]], ...] = (
    ("mni152", (-91, -126, -72), (90, 91, 109)),  # FSL, 182 x 218 x 182 at 1 mm
    ("mni152", (-96, -132, -78), (96, 96, 114)),  # ICBM 2009, symmetric
    ("mni152", (-98, -134, -72), (98, 98, 116)),  # ICBM 2009, as nilearn and TemplateFlow cut it
    ("sri24", (-239, 0, 0), (0, 239, 154)),  # as BraTS states it
)
"""World coordinates in mm of the first and last voxel of the grids that templates come on."""


@dataclass(frozen=True, slots=True)
class NativeScan:
    """A scan that passed every check of its files, on its own grid and in its own world.

    Attributes:
        image: float32 ``[X, Y, Z]`` in scanner units, finite.
        brain: bool ``[X, Y, Z]``, not empty: the given mask, or what is not 0 of a stripped
            FLAIR; ``None`` where the scan still has its skull and no mask was given.
        lesion: uint8 ``[X, Y, Z]``: 0 healthy, 1 lesion, 2 ignored; ``None`` without a mask.
        tissues: uint8 ``[X, Y, Z]``: 1 CSF, 2 GM, 3 WM; ``None`` without a label map.
        affine: voxel to the scan's own world, mm, RAS+.
        space: the template space that the dataset, the header's code or its grid states;
            ``None`` where nothing does, so that the world is most likely the scanner's.
        regridded: the masks that lay on another grid and were resampled to the FLAIR's.
        displaced: the masks whose header places the FLAIR's voxels elsewhere, and how far in mm;
            they were laid voxel on voxel.
        labels: see :func:`telling_labels`.
    """

    image: FloatArray
    brain: NDArray[np.bool_] | None
    lesion: NDArray[np.uint8] | None
    tissues: NDArray[np.uint8] | None
    affine: Affine
    space: Space | None
    regridded: tuple[Path, ...]
    displaced: tuple[tuple[Path, float], ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedScan:
    """A scan whose brain is known and that lies in template space, on its own grid.

    Attributes:
        image: float32 ``[X, Y, Z]`` in scanner units, finite.
        brain: bool ``[X, Y, Z]``, not empty.
        lesion: uint8 ``[X, Y, Z]``: 0 healthy, 1 lesion, 2 ignored; ``None`` without a mask.
        tissues: ``[3, X, Y, Z]``, shares of CSF, GM, WM; ``None`` without tissue maps.
        affine: voxel to MNI152 world coordinates in mm.
    """

    image: FloatArray
    brain: NDArray[np.bool_]
    lesion: NDArray[np.uint8] | None
    tissues: Shares | None
    affine: Affine


def scan_files(scan: Scan) -> tuple[tuple[str, Path], ...]:
    """Return every file of ``scan`` with its role, always in the same order."""
    if scan.tissue_table is None:
        return scan_volumes(scan)
    return (*scan_volumes(scan), ("tissue table", scan.tissue_table))


def scan_volumes(scan: Scan) -> tuple[tuple[str, Path], ...]:
    """Return every volume of ``scan`` with its role, always in the same order."""
    files = [("flair", scan.flair)]
    files += [(f"lesion{rater}", path) for rater, path in enumerate(scan.lesion, start=1)]
    if scan.brain_mask is not None:
        files.append(("brain", scan.brain_mask))
    if scan.tissues is not None:
        files.append(("tissues", scan.tissues))
    return tuple(files)


def load_scan(scan: Scan, mask_shift: float = 0.0) -> NativeScan:
    """Read ``scan`` as it is, with its skull or without, in any space, and check every file.

    A mask on another grid is resampled to the FLAIR's by the affines, where the two overlap whole.
    One with the FLAIR's voxels in another place is refused.

    Args:
        scan: the files.
        mask_shift: up to how many mm away a header may place the FLAIR's voxels; such a mask is
            laid voxel on voxel.

    Raises:
        ScanError: in one line, which file, what is wrong with it and what to do.
    """
    flair = read_volume(scan.flair)
    image = image_of(flair)
    masks = {path: read_volume(path) for role, path in scan_volumes(scan) if role != "flair"}
    if scan.brain_mask is not None:
        brain: NDArray[np.bool_] | None = given_brain(masks[scan.brain_mask], flair, mask_shift)
    else:
        brain = None if has_skull(image, flair.affine) else image != 0
    raters = _raters(scan, [masks[path] for path in scan.lesion], flair, brain, mask_shift)
    lesion = majority(scan, raters) if raters else None
    if lesion is not None and (problem := contradiction(scan, raters, lesion)) is not None:
        raise ScanError(f"{scan.lesion[0]}: {problem}")
    tissues = None
    if scan.tissues is not None:
        tissues = tissue_labels(
            masks[scan.tissues], scan, flair, image, brain, mask_shift=mask_shift
        )
    places = {path: align(mask, flair) for path, mask in masks.items()}
    return NativeScan(
        image=image,
        brain=brain,
        lesion=lesion,
        tissues=tissues,
        affine=flair.affine,
        space=scan.space or stated_space(flair),
        regridded=tuple(path for path, found in places.items() if found is None),
        displaced=tuple(
            (path, found.mm)
            for path, found in places.items()
            if found is not None and not found.same
        ),
        labels=telling_labels(scan, raters),
    )


def find_space(
    brain: NDArray[np.bool_],
    affine: Affine,
    stated: Space | None,
    template: NDArray[np.bool_],
    grid: Grid,
) -> Space | None:
    """Return the template space that a brain lies in, if it lies in one.

    Overlap cannot tell a registered brain from one that merely lies near the origin, as scanners
    put it: where nobody states a space (see :class:`NativeScan`), take the answer as a hint.

    Args:
        brain: bool ``[X, Y, Z]``, not empty.
        affine: its voxels to its own world.
        stated: the only space to try; ``None`` tries all.
        template: the template brain on ``grid``, bool ``[Z, H, W]``.
        grid: the template grid.
    """
    found = _overlaps(brain, affine, stated, template, grid)
    best = max(found, key=lambda space: found[space].dice)
    return best if found[best].accepted else None


def has_skull(image: FloatArray, affine: Affine) -> bool:
    """Whether a FLAIR is more than a brain on a background of 0."""
    return not has_zero_background(image) or _volume_ml(image != 0, affine) > MAX_NATIVE_BRAIN_ML


def stated_space(flair: Volume) -> Space | None:
    """Return the template space that a header states, by its code or by a template's own grid."""
    if flair.code == MNI152:
        return "mni152"
    ends = np.array([(0, 0, 0), np.subtract(flair.data.shape, 1)])
    points = ends @ flair.affine[:3, :3].T + flair.affine[:3, 3]
    steps = np.abs(flair.affine[:3, :3])
    if not np.allclose(steps.sum(axis=0), steps.max(axis=0), atol=1e-3):
        return None  # oblique: no template's grid
    for space, low, high in _TEMPLATE_BOXES:
        off = np.abs([points.min(axis=0) - low, points.max(axis=0) - high])
        if (off < steps.max(axis=1) + 1e-3).all():
            return space
    return None


def image_of(flair: Volume) -> FloatArray:
    """Return a FLAIR's intensities: float32 ``[X, Y, Z]``.

    Raises:
        ScanError: NaN or infinite voxels, or all of one value.
    """
    with np.errstate(over="ignore"):  # too large for float32 is infinite, which is refused
        image = flair.data.astype(np.float32)
    bad = image.size - int(np.isfinite(image).sum())
    if bad:
        raise ScanError(f"{flair.path}: {bad} voxels are NaN or infinite; set them to 0")
    if image.min() == image.max():
        raise ScanError(f"{flair.path}: every voxel is {image.flat[0]:g}; give the FLAIR volume")
    return image


def given_brain(mask: Volume, flair: Volume, mask_shift: float = 0.0) -> NDArray[np.bool_]:
    """Return a given brain mask on its FLAIR's grid: bool ``[X, Y, Z]``.

    Args:
        mask: the brain mask.
        flair: the image it belongs to.
        mask_shift: as of :func:`load_scan`.

    Raises:
        ScanError: labels that are not whole numbers, another place, or no brain.
    """
    brain = labels_on(mask, flair, None, mask_shift) != 0
    if not brain.any():
        raise ScanError(
            f"{mask.path}: the brain mask is empty; give a mask or a skull-stripped FLAIR"
        )
    return np.asarray(brain, dtype=np.bool_)


def _raters(
    scan: Scan,
    masks: list[Volume],
    flair: Volume,
    brain: NDArray[np.bool_] | None,
    mask_shift: float,
) -> list[Labels]:
    """The labels of each rater on the FLAIR's grid."""
    raters: list[Labels] = []
    for mask in masks:
        labels = labels_on(mask, flair, brain, mask_shift)
        values = check_labels(mask, labels, allowed_labels(scan), scan.label_advice)
        refuse_probabilities(mask, labels, values)
        raters.append(labels)
    return raters


def refuse_incomplete(scan: Scan) -> None:
    """Refuse a test scan without a lesion mask of somebody whom nobody calls healthy.

    That no mask was found never means that there is no lesion.

    Raises:
        ScanError: in one line.
    """
    if scan.split != "test" or scan.lesion or scan.healthy:
        return
    raise ScanError(
        f"{scan.flair}: no lesion mask, and nobody says that {scan.subject} is healthy; give a "
        "mask, one that is all zero, or name the healthy people in participants.tsv"
    )


def contradiction(scan: Scan, raters: Sequence[Labels], lesion: NDArray[np.uint8]) -> str | None:
    """Return what the masks of a scan contradict, in one line; ``None`` where all is well.

    Masks without any label are those of a healthy subject, unless somebody says that this is a
    patient. A mask that marks something, but no
    lesion, is neither a patient's nor a healthy subject's.

    Args:
        scan: whose masks they are.
        raters: the labels of each rater, ``[X, Y, Z]``.
        lesion: what :func:`majority` makes of them.
    """
    if not any(labels.any() for labels in raters):
        if scan.healthy is not False:
            return None
        return (
            f"{scan.subject} is said to be a patient, but the mask is all zero; correct one of the "
            "two, or leave the scan out"
        )
    if scan.healthy and any(is_lesion(labels, scan).any() for labels in raters):
        return (
            f"{scan.subject} is said to be healthy, but the mask shows a lesion; correct one of "
            "the two"
        )
    if not scan.healthy and not (lesion == 1).any():
        which = f"{len(raters)} raters agree on no lesion" if len(raters) > 1 else "no lesion"
        return f"{which} in the mask, which is not all zero; check the mask or leave the scan out"
    return None


def majority(scan: Scan, raters: Iterable[Labels]) -> NDArray[np.uint8]:
    """Combine the raters: lesion by majority; a tie, or an ignored label elsewhere, is 2.

    Args:
        scan: whose labels mean what.
        raters: the labels of each, ``[X, Y, Z]``, at least one.
    """
    votes: NDArray[np.integer] = np.zeros((), np.int16)
    unsure: Mask = np.zeros((), np.bool_)
    count = 0
    for labels in raters:
        marked = is_lesion(labels, scan)
        votes = votes + marked if count else marked.view(np.uint8)
        if scan.ignore_labels:
            unsure = unsure | one_of(labels, scan.ignore_labels)
        count += 1
    lesion = votes > count // 2
    if count % 2 == 0:
        unsure = unsure | (votes == count // 2)
    result: NDArray[np.uint8] = lesion.view(np.uint8)
    if unsure.any():
        result[unsure & ~lesion] = 2
    return result


def telling_labels(scan: Scan, raters: Sequence[Labels]) -> tuple[int, ...]:
    """Return which of a scan's own labels its masks hold; nothing where it ignores none.

    Together with those of other scans they tell masks of another release
    (``volumes.checks.numbering``).

    Args:
        scan: whose labels mean what.
        raters: the labels of each, ``[X, Y, Z]``.
    """
    own = scan.ignore_labels and scan.ignore_labels | (scan.lesion_labels or frozenset())
    return tuple(value for value in sorted(own) if any((one == value).any() for one in raters))


def allowed_labels(scan: Scan) -> frozenset[int] | None:
    """Return the values that a scan's lesion masks may hold; ``None`` allows all from 0 up."""
    if scan.lesion_labels is None:
        return None
    return frozenset({0}) | scan.lesion_labels | scan.ignore_labels


def is_lesion(labels: Labels, scan: Scan) -> NDArray[np.bool_]:
    """Return where a rater of ``scan`` marked lesion."""
    if scan.lesion_labels is not None:
        return one_of(labels, scan.lesion_labels)
    marked: Mask = labels > 0
    if scan.ignore_labels:
        marked &= ~one_of(labels, scan.ignore_labels)
    return marked


def _overlaps(
    brain: NDArray[np.bool_],
    affine: Affine,
    stated: Space | None,
    template: NDArray[np.bool_],
    grid: Grid,
) -> dict[Space, Overlap]:
    spaces: tuple[Space, ...] = ("mni152", "sri24") if stated is None else (stated,)
    return {space: overlap(brain, TO_MNI152[space] @ affine, template, grid) for space in spaces}


def _volume_ml(marked: NDArray[np.bool_], affine: Affine) -> float:
    return int(np.count_nonzero(marked)) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
