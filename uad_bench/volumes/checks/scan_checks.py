"""Everything that can be said of one scan's files before they are prepared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_bench.dataset import Scan
from uad_bench.discovery.mask_notes import differing
from uad_bench.errors import ScanError
from uad_bench.volumes.checks.appearance import lesion_contrasts, seems_flipped, skewness
from uad_bench.volumes.checks.findings import Finding, Notes
from uad_bench.volumes.checks.image_checks import check_intensities, check_sequence, check_spacing
from uad_bench.volumes.files.masks import check_labels, head, labels_on, refuse_probabilities
from uad_bench.volumes.files.nifti import Volume, parse_volume, read_content, voxel_hash
from uad_bench.volumes.files.place import MAX_OUTSIDE, Labels, align, misplaced, share_outside
from uad_bench.volumes.grid import FloatArray
from uad_bench.volumes.steps.label_map import tissue_labels
from uad_bench.volumes.steps.read import (
    MAX_NATIVE_BRAIN_ML,
    allowed_labels,
    contradiction,
    given_brain,
    has_skull,
    image_of,
    is_lesion,
    majority,
    refuse_incomplete,
    scan_volumes,
    telling_labels,
)

Mask = NDArray[np.bool_]

MIN_BRAIN_ML = 600.0


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What one scan's files hold; what could not be read is ``None``.

    Attributes:
        scan: the scan.
        findings: about it alone.
        contents: SHA-256 of the FLAIR's file.
        voxels: hash of the FLAIR's values in the order right, anterior, superior.
        lesions: the same of every lesion mask that is not empty.
        labels: see ``steps.read.telling_labels``.
        spacing: the FLAIR's voxel size in mm, from the smallest.
        has_skull: whether it is a head.
        skewness: of the intensities inside.
    """

    scan: Scan
    findings: tuple[Finding, ...]
    contents: str | None = None
    voxels: str | None = None
    lesions: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    has_skull: bool | None = None
    skewness: float | None = None


def check_scan(scan: Scan, root: Path, mask_shift: float = 0.0) -> ScanReport:
    """Read every file of a scan once and say everything that is odd about it.

    Args:
        scan: the files.
        root: the dataset's folder, which paths are shown below.
        mask_shift: up to how many mm away a header may place the FLAIR's voxels.
    """
    notes = Notes(scan, root)
    try:
        refuse_incomplete(scan)
    except ScanError as error:
        notes.refuse(scan.flair, error)
    contents = None
    volumes: dict[Path, Volume] = {}
    for role, path in scan_volumes(scan):
        try:
            content = read_content(path)
            if role == "flair":
                contents = hashlib.sha256(content).hexdigest()
            volumes[path] = parse_volume(path, content)
        except ScanError as error:
            notes.refuse(path, error)
    flair = volumes.get(scan.flair)
    if flair is None:
        return ScanReport(scan, tuple(notes.found), contents)
    sizes = check_spacing(flair, notes)
    try:
        image = image_of(flair)
    except ScanError as error:
        notes.refuse(scan.flair, error)
        return ScanReport(scan, tuple(notes.found), contents, spacing=sizes)
    for path, volume in volumes.items():
        _check_grid(path, volume, flair, mask_shift, notes)
    brain = _check_brain(scan, image, flair, volumes, notes, mask_shift=mask_shift)
    inside = head(image) if brain is None else brain
    lesion, marks, found = _check_lesions(scan, flair, brain, volumes, notes, mask_shift=mask_shift)
    if lesion is not None and lesion.any():
        _check_place(image, lesion, inside, flair, notes)
    if scan.tissues in volumes:
        try:
            tissue_labels(volumes[scan.tissues], scan, flair, image, brain, mask_shift=mask_shift)
        except ScanError as error:
            notes.refuse(scan.tissues, error)
    values = image[inside]
    check_intensities(image, values, flair, notes)
    if brain is not None:
        check_sequence(image, brain, lesion, flair, notes)
    return ScanReport(
        scan=scan,
        findings=tuple(notes.found),
        contents=contents,
        voxels=voxel_hash(image, flair.affine),
        lesions=marks,
        labels=found,
        spacing=sizes,
        has_skull=has_skull(image, flair.affine),
        skewness=skewness(values) if values.size else None,
    )


def _check_grid(path: Path, volume: Volume, flair: Volume, mask_shift: float, notes: Notes) -> None:
    """Say how a mask lies that lies otherwise than its FLAIR; what is too far is refused later."""
    found = align(volume, flair)
    if found is None:
        ours = " x ".join(map(str, volume.data.shape))
        notes.add("note", path, f"lies on another grid ({ours}) than the FLAIR")
    elif not found.same and found.mm <= mask_shift:
        message = f"its header places it up to {found.mm:.3g} mm away; laid voxel on voxel"
        notes.add("warning", path, f"{message} (--mask-shift)")


def _check_brain(
    scan: Scan,
    image: FloatArray,
    flair: Volume,
    volumes: dict[Path, Volume],
    notes: Notes,
    *,
    mask_shift: float,
) -> Mask | None:
    """Return the brain, where it is given or the scan is stripped."""
    given = scan.brain_mask
    if given is None:
        if has_skull(image, flair.affine):
            return None
        brain, path = np.asarray(image != 0, dtype=np.bool_), scan.flair
    elif given in volumes:
        try:
            brain, path = given_brain(volumes[given], flair, mask_shift), given
        except ScanError as error:
            notes.refuse(given, error)
            return None
        empty = 1.0 - np.count_nonzero(image[brain]) / np.count_nonzero(brain)
        if empty > MAX_OUTSIDE:
            notes.add("warning", given, f"{empty:.0%} of the brain mask is 0 in the FLAIR")
    else:
        return None
    ml = np.count_nonzero(brain) * abs(np.linalg.det(flair.affine[:3, :3])) / 1000.0
    if not MIN_BRAIN_ML <= ml <= MAX_NATIVE_BRAIN_ML:
        notes.add("warning", path, f"a brain of {ml:.0f} ml; check the mask and the voxel size")
    return brain


def _check_lesions(
    scan: Scan,
    flair: Volume,
    brain: Mask | None,
    volumes: dict[Path, Volume],
    notes: Notes,
    *,
    mask_shift: float,
) -> tuple[Mask | None, tuple[str, ...], tuple[int, ...]]:
    """Return where most raters marked lesion, the hashes of their masks, and their labels."""
    read: list[Labels] = []
    marks = []
    for path in scan.lesion:
        if path not in volumes:
            continue
        try:
            labels = labels_on(volumes[path], flair, brain, mask_shift)
            allowed = allowed_labels(scan)
            there = check_labels(volumes[path], labels, allowed, scan.label_advice)
            refuse_probabilities(volumes[path], labels, there)
        except ScanError as error:
            notes.refuse(path, error)
            continue
        read.append(labels)
        if is_lesion(labels, scan).any():
            marks.append(voxel_hash(labels, flair.affine))
        elif len(scan.lesion) > 1:
            notes.add("warning", path, "this rater marked no lesion")
    found = telling_labels(scan, read)
    if not read or len(read) < len(scan.lesion):
        return None, tuple(marks), found
    _check_raters(scan, [is_lesion(labels, scan) for labels in read], notes)
    combined = majority(scan, read)
    if (problem := contradiction(scan, read, combined)) is not None:
        notes.add("error", scan.lesion[0], problem)
    elif not any(labels.any() for labels in read):
        notes.add("note", scan.lesion[0], "all zero: the subject counts as healthy")
    return combined == 1, tuple(marks), found


def _check_raters(scan: Scan, marked: Sequence[Mask], notes: Notes) -> None:
    """Say where masks that count as raters may be parts of one lesion: all nested, or all apart."""
    pairs = list(combinations((mask for mask in marked if mask.any()), 2))
    shared = [int(np.count_nonzero(one & other)) for one, other in pairs]
    sizes = [sorted(map(np.count_nonzero, pair)) for pair in pairs]
    if not pairs:
        return
    if not any(shared):
        how = "do not overlap anywhere"
    elif all(same == less < more for same, (less, more) in zip(shared, sizes, strict=True)):
        how = "lie inside one another"
    else:
        return
    names = ", ".join(differing(scan.lesion))
    message = f"the {len(scan.lesion)} lesion masks ({names}) {how}: parts instead of raters?"
    notes.add("warning", scan.lesion[0], f"{message} Most of them decide")


def _check_place(
    image: FloatArray, lesion: Mask, inside: Mask, flair: Volume, notes: Notes
) -> None:
    """Is the lesion where the image shows one? ``inside`` is the brain, or else the head."""
    path = notes.scan.lesion[0]
    own, contrast = lesion_contrasts(image, lesion, inside, flair.affine)
    outside = share_outside(lesion, inside)
    if (problem := misplaced(lesion, inside, flair.affine)) is not None:
        notes.add("error", path, problem)
    elif outside > MAX_OUTSIDE:
        notes.add("warning", path, f"{outside:.0%} of the lesion lies outside the brain")
    if seems_flipped(own, contrast):
        notes.add(
            "warning",
            path,
            f"lesions stand out by {own or 0.0:.2f} deviations, mirrored by {contrast or 0.0:.2f}: "
            "perhaps left and right of the mask are exchanged; write it with the FLAIR's affine",
        )
