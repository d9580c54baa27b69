"""Reading a scan's files with every check that a bad file deserves; one line for each failure."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from uad_bench.cohort import Scan, Space
from uad_bench.errors import ScanError
from uad_bench.volumes.resample import Affine, FloatArray, Grid
from uad_bench.volumes.space import TO_MNI152, Overlap, overlap

NIFTI1_HEADER, NIFTI2_HEADER = 348, 540
"""The header's own size in bytes, which a NIfTI file starts with."""

MAX_SHIFT = 0.1
"""How far, in voxels, a mask's grid may be from its FLAIR's."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One NIfTI volume: ``data`` ``[X, Y, Z]`` and the affine from voxel to its world in mm."""

    path: Path
    data: NDArray[Any]
    affine: Affine


@dataclass(frozen=True, slots=True)
class LoadedScan:
    """A scan that passed every check, on its own grid.

    Attributes:
        image: float32 ``[X, Y, Z]`` in scanner units, finite.
        brain: bool ``[X, Y, Z]``, not empty.
        lesion: uint8 ``[X, Y, Z]``: 0 healthy, 1 lesion, 2 ignored; ``None`` without a mask.
        tissues: uint8 ``[X, Y, Z]``: 1 CSF, 2 GM, 3 WM; ``None`` without a label map.
        affine: voxel to MNI152 world coordinates in mm.
        space: the template space the scan was found to lie in.
    """

    image: FloatArray
    brain: NDArray[np.bool_]
    lesion: NDArray[np.uint8] | None
    tissues: NDArray[np.uint8] | None
    affine: Affine
    space: Space


def scan_files(scan: Scan) -> tuple[tuple[str, Path], ...]:
    """Return every file of ``scan`` with its role, always in the same order."""
    files = [("flair", scan.flair)]
    files += [(f"lesion{rater}", path) for rater, path in enumerate(scan.lesion, start=1)]
    if scan.brain_mask is not None:
        files.append(("brain", scan.brain_mask))
    if scan.tissues is not None:
        files.append(("tissues", scan.tissues))
    return tuple(files)


def read_scan(scan: Scan, template: NDArray[np.bool_], grid: Grid) -> LoadedScan:
    """Read ``scan`` and check everything that can be wrong with it.

    Args:
        scan: the files.
        template: the template brain on ``grid``, bool ``[Z, H, W]``.
        grid: the template grid.

    Raises:
        ScanError: in one line, which file, what is wrong with it and what to do.
    """
    flair = read_volume(scan.flair)
    image = _image(flair)
    mask = None if scan.brain_mask is None else _labels(_mask(scan.brain_mask, flair))
    brain = (image if mask is None else mask) != 0
    if not brain.any():
        where = scan.brain_mask or scan.flair
        raise ScanError(f"{where}: the brain mask is empty; give a mask or a skull-stripped FLAIR")
    lesion = _lesion(scan, flair) if scan.lesion else None
    tissues = _tissues(scan.tissues, flair) if scan.tissues is not None else None
    space = _place(scan, brain, flair.affine, template, grid)
    return LoadedScan(image, brain, lesion, tissues, TO_MNI152[space] @ flair.affine, space)


def read_volume(path: Path) -> Volume:
    """Read one 3D NIfTI-1 or NIfTI-2 volume, compressed or not.

    A whole file is decompressed and its checksum compared, so that a file cut anywhere is found.

    Raises:
        ScanError: when the file is missing, damaged, not NIfTI, not 3D, or without orientation.
    """
    image = _parse(path, _content(path))
    if not (len(image.shape) >= 3 and all(length == 1 for length in image.shape[3:])):
        shape = " x ".join(str(length) for length in image.shape)
        raise ScanError(f"{path}: a volume of {shape} voxels, not 3D; give one 3D volume")
    affine = _affine(path, image)
    try:
        data = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    except (OSError, ValueError, EOFError) as error:
        raise ScanError(f"{path}: the file is cut short or damaged; copy it again") from error
    if data.dtype.kind not in "biuf":
        raise ScanError(f"{path}: voxels are not real numbers; save the volume as one channel")
    return Volume(path, data, affine)


def _content(path: Path) -> bytes:
    """Return the file's bytes, decompressed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ScanError(f"{path}: no such file; complete the cohort's folder") from error
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ScanError(f"{path}: the .gz file is truncated or damaged; copy it again") from error


def _parse(path: Path, content: bytes) -> nib.Nifti1Image:
    """Build the image from the bytes of a single-file NIfTI of either version and byte order."""
    sizes = {int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")}
    if not sizes & {NIFTI1_HEADER, NIFTI2_HEADER}:
        raise ScanError(f"{path}: not a NIfTI file; convert it to .nii.gz")
    kind, size = nib.Nifti1Image, NIFTI1_HEADER
    if NIFTI2_HEADER in sizes:
        kind, size = nib.Nifti2Image, NIFTI2_HEADER
    try:
        header = kind.header_class(content[:size], check=False)  # as stored: nibabel mends signs
        zooms = np.asarray(header["pixdim"][1:4], dtype=np.float64)
        if not (np.isfinite(zooms).all() and (zooms > 0).all()):
            raise ScanError(
                f"{path}: voxel size {zooms.tolist()} mm is not positive; mend the header"
            )
        return kind.from_bytes(content)
    except (ImageFileError, HeaderDataError, WrapStructError, ValueError, OSError) as error:
        raise ScanError(f"{path}: the NIfTI header is damaged; copy or convert it again") from error


def _affine(path: Path, image: nib.Nifti1Image) -> Affine:
    """Return the affine, where the header states a sensible one."""
    if image.header["sform_code"] == 0 and image.header["qform_code"] == 0:
        raise ScanError(f"{path}: the header states no orientation; set its sform or qform")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise ScanError(f"{path}: the affine is not invertible; mend the header's sform or qform")
    return affine


def _image(flair: Volume) -> FloatArray:
    image = flair.data.astype(np.float32)
    bad = image.size - int(np.isfinite(image).sum())
    if bad:
        raise ScanError(f"{flair.path}: {bad} voxels are NaN or infinite; set them to 0")
    if image.min() == image.max():
        raise ScanError(f"{flair.path}: every voxel is {image.flat[0]:g}; give the FLAIR volume")
    return image


def _mask(path: Path, flair: Volume) -> Volume:
    """Read a label volume that must lie on the FLAIR's grid."""
    mask = read_volume(path)
    if mask.data.shape != flair.data.shape:
        ours, theirs = (" x ".join(map(str, v.data.shape)) for v in (mask, flair))
        raise ScanError(f"{path}: {ours} voxels, but {flair.path.name} has {theirs}; resample it")
    corners = np.array(np.meshgrid(*((0, n - 1) for n in mask.data.shape))).reshape(3, -1)
    offset = np.linalg.inv(flair.affine) @ mask.affine - np.eye(4)
    shift = float(np.abs(offset[:3, :3] @ corners + offset[:3, 3:]).max())
    if shift > MAX_SHIFT:
        raise ScanError(
            f"{path}: its affine differs from {flair.path.name}'s by up to {shift:.3g} voxels; "
            "resample it"
        )
    return mask


def _labels(mask: Volume) -> NDArray[np.int64]:
    """Return the mask's values as integers."""
    if mask.data.dtype.kind in "biu":
        return mask.data.astype(np.int64)
    if not np.isfinite(mask.data).all():
        raise ScanError(f"{mask.path}: the mask holds NaN or infinite voxels; set them to 0")
    labels = np.rint(mask.data)
    if np.abs(mask.data - labels).max() > 1e-3:
        raise ScanError(f"{mask.path}: the mask holds values between whole numbers; binarise it")
    return np.asarray(labels, dtype=np.int64)


def _one_of(labels: NDArray[np.int64], wanted: Iterable[int]) -> NDArray[np.bool_]:
    """Return where ``labels`` is one of a few values."""
    result = np.zeros(labels.shape, dtype=np.bool_)
    for value in wanted:
        result |= labels == value
    return result


def _unexpected(path: Path, labels: NDArray[np.int64], allowed: Iterable[int] | None) -> None:
    """Refuse values outside ``allowed``; without one, negative values."""
    found = set(np.unique(labels[labels != 0]).tolist())
    odd = {v for v in found if v < 0} if allowed is None else found - set(allowed)
    if odd:
        listed = ", ".join(str(value) for value in sorted(odd)[:5])
        expected = "0 and above" if allowed is None else ", ".join(map(str, sorted(set(allowed))))
        raise ScanError(f"{path}: unexpected labels {listed} (expected {expected}); check the mask")


def _lesion(scan: Scan, flair: Volume) -> NDArray[np.uint8]:
    """Combine the raters: lesion by majority; a tie, or an ignored label elsewhere, is 2."""
    votes = np.zeros(flair.data.shape, dtype=np.int16)
    ignored = np.zeros(flair.data.shape, dtype=np.bool_)
    allowed = None
    if scan.lesion_labels is not None:
        allowed = {0} | scan.lesion_labels | scan.ignore_labels
    for path in scan.lesion:
        labels = _labels(_mask(path, flair))
        _unexpected(path, labels, allowed)
        unknown = _one_of(labels, scan.ignore_labels)
        ignored |= unknown
        if scan.lesion_labels is None:
            votes += (labels > 0) & ~unknown
        else:
            votes += _one_of(labels, scan.lesion_labels)
    lesion = (2 * votes > len(scan.lesion)).astype(np.uint8)
    if not lesion.any():
        which = (
            f"{len(scan.lesion)} raters agree on no lesion" if len(scan.lesion) > 1 else "no lesion"
        )
        raise ScanError(
            f"{scan.lesion[0]}: {which} in the mask; check the mask or leave the scan out"
        )
    lesion[(lesion == 0) & (ignored | (2 * votes == len(scan.lesion)))] = 2
    return lesion


def _tissues(path: Path, flair: Volume) -> NDArray[np.uint8]:
    labels = _labels(_mask(path, flair))
    _unexpected(path, labels, (0, 1, 2, 3))
    return labels.astype(np.uint8)


def _place(
    scan: Scan, brain: NDArray[np.bool_], affine: Affine, template: NDArray[np.bool_], grid: Grid
) -> Space:
    """Return the template space that the brain lies in; refuse a raw scan."""
    spaces: tuple[Space, ...] = ("mni152", "sri24") if scan.space is None else (scan.space,)
    found: dict[Space, Overlap] = {
        space: overlap(brain, TO_MNI152[space] @ affine, template, grid) for space in spaces
    }
    best = max(found, key=lambda space: found[space].dice)
    if found[best].accepted:
        return best
    if found[best].has_skull and scan.brain_mask is None:
        what = f"it has its skull or a background ({found[best].brain_ml:.0f} ml are not 0)"
    else:
        names = " or ".join(space.upper() for space in spaces)
        what = (
            f"it is not in {names} space (its brain covers {found[best].covered:.0%} of the "
            f"template's and lies {found[best].inside:.0%} inside it)"
        )
    raise ScanError(
        f"{scan.flair}: {what}; raw scans are not prepared by this version: "
        "give it skull-stripped and registered"
    )
