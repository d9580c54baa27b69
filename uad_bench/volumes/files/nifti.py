"""Reading one NIfTI volume, with every check that needs no other file."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from uad_bench.discovery.walk import check_regular
from uad_bench.errors import ScanError
from uad_bench.volumes.grid import Affine

NIFTI1_HEADER, NIFTI2_HEADER = 348, 540
"""The header's own size in bytes, which a NIfTI file starts with."""

SCANNER, MNI152 = 1, 4
"""NIfTI codes of the world that an affine leads to."""

_TEMPLATES = (3, 4, 5)
"""NIfTI codes of templates' worlds: Talairach, MNI152, another one. Code 2, aligned to another
image, is none."""

MAX_SHIFT = 0.1
"""How far apart, in voxels, two affines may place a voxel and still be one grid."""

_DAMAGES = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
)
"""What reading a header or its voxels raises where the header is damaged."""

_MAX_STRETCH = 0.005
"""How much a voxel's size in an affine may differ from the one that the header states."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One NIfTI volume.

    Attributes:
        path: the file.
        data: ``[X, Y, Z]``, the stored values with the header's scale applied.
        affine: voxel to the file's own world in mm, RAS+.
        code: the NIfTI code of that world.
    """

    path: Path
    data: NDArray[Any]
    affine: Affine
    code: int


def read_volume(path: Path) -> Volume:
    """Read one 3D NIfTI-1 or NIfTI-2 volume, compressed or not.

    A whole file is decompressed and its checksum compared, so that a file cut anywhere is found.

    Raises:
        ScanError: when the file is missing, damaged, not NIfTI, not 3D, or without orientation.
    """
    return parse_volume(path, read_content(path))


def voxel_hash(data: NDArray[Any], affine: Affine) -> str:
    """Hash values in the order right, anterior, superior: neither axes, type nor file matter.

    Args:
        data: ``[X, Y, Z]``.
        affine: voxel to world, RAS+.
    """
    order = nib.io_orientation(affine)
    # NIfTI keeps x nearest, so that this need not turn most files' values about.
    canonical = np.ascontiguousarray(nib.apply_orientation(data, order).T, dtype=np.float32)
    # BLAKE2 takes half the time of SHA-256 where a processor has no instructions for either.
    found = hashlib.blake2b(repr(canonical.shape).encode(), digest_size=32)
    found.update(canonical.data)
    return found.hexdigest()


def read_content(path: Path) -> bytes:
    """Return the file's bytes as they are stored.

    Raises:
        ScanError: when the file is missing, is no regular file or cannot be read.
    """
    try:
        check_regular(path)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ScanError(f"{path}: no such file; complete the dataset's folder") from error
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror}); check the file") from error


@np.errstate(all="ignore")  # what overflows is not finite, which is refused in one line
def parse_volume(path: Path, content: bytes) -> Volume:
    """Return the volume in a file's bytes; see :func:`read_volume`.

    Args:
        path: where they come from, for messages.
        content: the file as it is stored.
    """
    image = _parse(path, _decompressed(path, content))
    if not (len(image.shape) >= 3 and all(length == 1 for length in image.shape[3:])):
        shape = " x ".join(str(length) for length in image.shape)
        raise ScanError(f"{path}: a volume of {shape} voxels, not 3D; give one 3D volume")
    affine, code = _affine(path, image)
    try:
        data = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    except MemoryError as error:
        size = " x ".join(str(length) for length in image.shape)
        raise ScanError(
            f"{path}: no memory for its {size} voxels ({len(content)} bytes); free some memory"
        ) from error
    except (EOFError, *_DAMAGES) as error:
        raise ScanError(f"{path}: the file is cut short or damaged; copy it again") from error
    if data.dtype.kind not in "biuf":
        raise ScanError(f"{path}: voxels are not real numbers; save the volume as one channel")
    return Volume(path, data, affine, code)


def corner_distance(one: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    """Return how far apart two affines place a corner of a volume at most, in ``one``'s voxels.

    Args:
        one: voxel to world; the unit of the result.
        other: voxel to world.
        shape: of the volume, ``(X, Y, Z)``.
    """
    offset = np.linalg.inv(one) @ other - np.eye(4)
    corners = _corners(shape)
    return float(np.abs(offset[:3, :3] @ corners + offset[:3, 3:]).max())


def corner_distance_mm(one: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    """Return how far apart two affines place a corner of a volume at most, in mm.

    Args:
        one: voxel to world.
        other: voxel to world.
        shape: of the volume, ``(X, Y, Z)``.
    """
    offset = (other - one)[:3]
    return float(np.linalg.norm(offset[:, :3] @ _corners(shape) + offset[:, 3:], axis=0).max())


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The corner voxels' indices, ``[3, 8]``."""
    return np.array(np.meshgrid(*((0.0, n - 1.0) for n in shape))).reshape(3, -1)


def _decompressed(path: Path, content: bytes) -> bytes:
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
        _check_size(path, header, len(content))
        return kind.from_bytes(content)
    except _DAMAGES as error:
        raise ScanError(f"{path}: the NIfTI header is damaged; copy or convert it again") from error


def _check_size(path: Path, header: nib.Nifti1Header, there: int) -> None:
    """Refuse a volume without voxels, or with more of them than the file has bytes for.

    Args:
        path: for messages.
        header: as stored.
        there: how many bytes the file has, decompressed.
    """
    shape = tuple(int(length) for length in header.get_data_shape())
    size = " x ".join(str(length) for length in shape)
    if not shape or min(shape) < 1:
        raise ScanError(
            f"{path}: the header states {size or 'no'} voxels; copy or convert it again"
        )
    start = float(header["vox_offset"])
    if not (math.isfinite(start) and start >= 0):
        raise ScanError(f"{path}: the header states that voxels start at byte {start:g}; mend it")
    stated = int(start) + math.prod(shape) * header.get_data_dtype().itemsize
    if stated > there:
        raise ScanError(
            f"{path}: the header states {size} voxels, {stated} bytes, and the file has {there}; "
            "it is cut short or damaged: copy it again"
        )


def _affine(path: Path, image: nib.Nifti1Image) -> tuple[Affine, int]:
    """Return the affine and its code, where the header states one sensible orientation."""
    header = image.header
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if sform_code == 0 and qform_code == 0:
        raise ScanError(f"{path}: the header states no orientation; set its sform or qform")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise ScanError(f"{path}: the affine is not invertible; mend the header's sform or qform")
    # An sform that leads to a template beside a qform that leads to the scanner is how NIfTI
    # keeps both; any other two must agree, because programs differ in which one they follow.
    keeps_both = sform_code in _TEMPLATES and qform_code == SCANNER
    if sform_code > 0 and qform_code > 0 and not keeps_both:
        _check_agreement(path, affine, header, image.shape[:3])
    _check_voxel_size(path, affine, header)
    return affine, sform_code or qform_code


def _check_voxel_size(path: Path, affine: Affine, header: nib.Nifti1Header) -> None:
    """Refuse an affine whose voxels have another size than the header states (pixdim)."""
    stated = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    placed = np.linalg.norm(affine[:3, :3], axis=0)
    if (np.abs(placed - stated) <= _MAX_STRETCH * stated).all():
        return
    ours, theirs = (" x ".join(f"{size:.4g}" for size in sizes) for sizes in (stated, placed))
    raise ScanError(
        f"{path}: the header states voxels of {ours} mm (pixdim), but its affine makes them "
        f"{theirs} mm; correct the wrong one"
    )


def _check_agreement(
    path: Path, sform: Affine, header: nib.Nifti1Header, shape: tuple[int, ...]
) -> None:
    codes = f"sform (code {header['sform_code']:d}) and qform (code {header['qform_code']:d})"
    try:
        qform = np.asarray(header.get_qform(), dtype=np.float64)
    except (ValueError, HeaderDataError) as error:
        raise ScanError(
            f"{path}: {codes} disagree: the qform is no rotation; set its code to 0"
        ) from error
    if np.isfinite(qform).all() and corner_distance(sform, qform, shape) <= MAX_SHIFT:
        return
    raise ScanError(
        f"{path}: {codes} disagree by up to {corner_distance_mm(sform, qform, shape):.3g} mm; set "
        "the code of the wrong one to 0, or copy the right one over it"
    )
