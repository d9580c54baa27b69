"""Label volumes that belong to a FLAIR: on its grid, whole numbers, and only expected ones."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import ScanError
from uad_bench.kernels import compiled
from uad_bench.volumes.files.nifti import MAX_SHIFT, MNI152, SCANNER, Volume
from uad_bench.volumes.files.place import Labels, align, refuse_displaced
from uad_bench.volumes.grid import Affine

MAX_BACKGROUND = 0.1
"""Share of a volume's twelve edges that may differ from 0 where its background is 0. A brain, or
a head, touches a side of its box but not the edges; scans with a noisy background have 0.85."""

_WORLDS = {
    SCANNER: "the scanner's space",
    3: "Talairach space",
    MNI152: "MNI152 space",
    5: "the space of another template",
}
"""What a header's code says of its world. Code 2, aligned to something else, names no world."""

_FEW_LABELS, _GRADED = 8, 0.25
"""Up to so many labels any mask may have; with more, so large a share of neighbours inside the
mask may differ. Numbered lesions hardly touch; probabilities differ nearly everywhere."""

_LARGEST_LABEL = 2**31 - 1
"""No tool numbers labels beyond this; a larger value comes of a wrong scale factor."""


def labels_on(
    mask: Volume, flair: Volume, brain: NDArray[np.bool_] | None, mask_shift: float = 0.0
) -> Labels:
    """Return a mask's labels on its FLAIR's grid: int32 ``[X, Y, Z]``.

    Labels with the FLAIR's voxels stay as they are, in whichever order their axes are stored. If
    the header places them elsewhere, they are refused: a mask is never moved in silence.

    On another grid they are resampled by the affines, where the mask's box covers the whole brain,
    and the FLAIR's box all that is labelled. A voxel gets a label where labels make up at least
    half of it: the one with the largest share. Shares are those of sample points, each of which
    has the label of the voxel it lies in, so that no label is invented.

    Args:
        mask: the labels.
        flair: the image they belong to.
        brain: bool ``[X, Y, Z]``, the FLAIR's brain; where it is not known, its head must be
            covered.
        mask_shift: a header that places the FLAIR's own voxels up to this many mm away is not
            believed: voxel lies on voxel.

    Raises:
        ScanError: labels that are not whole numbers, the FLAIR's voxels in another place, or
            grids that do not overlap whole.
    """
    labels = whole_numbers(mask)
    if (found := align(mask, flair)) is not None:
        refuse_displaced(mask, flair, found, mask_shift)
        return found.apply(labels)
    _refuse_other_world(mask, flair)
    needed = head(flair.data.astype(np.float32)) if brain is None else brain
    _check_overlap(mask, labels, flair, needed)
    to_mask = np.linalg.inv(mask.affine) @ flair.affine
    values = np.union1d(labels, 0)
    winner = np.zeros(needed.shape, dtype=np.int64)
    _most_frequent(
        np.searchsorted(values, labels),
        to_mask,
        2 * np.ceil(np.linalg.norm(to_mask[:3, :3], axis=0) - MAX_SHIFT).clip(1).astype(np.int64),
        int(np.searchsorted(values, 0)),
        winner,
    )
    return np.asarray(values[winner], dtype=np.int32)


def whole_numbers(mask: Volume) -> Labels:
    """Return a mask's values as integers; up to 0.001 beside a whole number is that number.

    Raises:
        ScanError: values that are not finite, or between whole numbers; a mask that is not all
            zero, but would be after rounding.
    """
    if mask.data.dtype.kind == "f" and not np.isfinite(mask.data).all():
        raise ScanError(f"{mask.path}: the mask holds NaN or infinite voxels; set them to 0")
    low, high = mask.data.min(), mask.data.max()
    if low < -_LARGEST_LABEL or high > _LARGEST_LABEL:
        raise ScanError(
            f"{mask.path}: the mask holds values from {low:.3g} to {high:.3g}, which are no "
            "labels; check the header's scale factor"
        )
    if mask.data.dtype.kind in "biu":
        return mask.data.astype(np.int32)
    labels = np.rint(mask.data)
    if np.abs(mask.data - labels).max() > 1e-3:
        raise ScanError(f"{mask.path}: the mask holds values between whole numbers; binarise it")
    if mask.data.any() and not labels.any():
        raise ScanError(
            f"{mask.path}: the mask's largest value is {np.abs(mask.data).max():.2g}, which is "
            "neither 0 nor a label; binarise it, or correct its scale factor"
        )
    return np.asarray(labels, dtype=np.int32)


def refuse_probabilities(mask: Volume, labels: Labels, values: Labels) -> None:
    """Refuse a mask of whole numbers that grade from voxel to voxel, as 0 to 255 or percent.

    Lesions that are numbered one by one have many values too, but neighbours share theirs.

    Args:
        mask: the file, for its name.
        labels: its values, ``[X, Y, Z]``.
        values: those that there are, beside 0, from the least.

    Raises:
        ScanError: in one line.
    """
    values = values[values > 0]
    if len(values) <= _FEW_LABELS:
        return
    inside, differing = 0, 0
    for axis in range(3):
        first, second = np.delete(labels, -1, axis), np.delete(labels, 0, axis)
        both = (first > 0) & (second > 0)
        inside += int(np.count_nonzero(both))
        differing += int(np.count_nonzero(both & (first != second)))
    if differing > _GRADED * inside:
        raise ScanError(
            f"{mask.path}: the mask holds {len(values)} values from {values[0]} to {values[-1]} "
            "that change from voxel to voxel: a probability map? Binarise it"
        )


def check_labels(
    mask: Volume, labels: Labels, allowed: Iterable[int] | None, advice: str = "check the mask"
) -> Labels:
    """Refuse labels outside ``allowed``; without one, negative labels.

    Args:
        mask: the file, for its name.
        labels: its values.
        allowed: the values that it may hold, 0 among them.
        advice: what to do about any other.

    Returns:
        Those that there are, beside 0, from the least.

    Raises:
        ScanError: naming them.
    """
    values: Labels = np.unique(labels.T[labels.T != 0])
    found = set(values.tolist())
    odd = {v for v in found if v < 0} if allowed is None else found - set(allowed)
    if odd:
        listed = ", ".join(str(value) for value in sorted(odd)[:5])
        expected = "0 and above" if allowed is None else ", ".join(map(str, sorted(set(allowed))))
        raise ScanError(f"{mask.path}: unexpected labels {listed} (expected {expected}); {advice}")
    return values


def one_of(labels: Labels, wanted: Iterable[int]) -> NDArray[np.bool_]:
    """Return where ``labels`` is one of a few values."""
    result = np.zeros_like(labels, dtype=np.bool_)
    for value in wanted:
        result |= labels == value
    return result


def has_zero_background(image: NDArray[np.float32]) -> bool:
    """Whether what surrounds the head or brain is 0, as seen on the twelve edges of the box."""
    edges = [np.moveaxis(image, axis, -1)[np.ix_([0, -1], [0, -1])] for axis in range(3)]
    marked = sum(np.count_nonzero(edge) for edge in edges)
    return bool(marked <= MAX_BACKGROUND * sum(edge.size for edge in edges))


def head(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return what is not background: bool ``[X, Y, Z]``.

    Where the background is 0 that is every other voxel; elsewhere the voxels brighter than the
    mean, without specks.
    """
    if has_zero_background(image):
        return np.asarray(image != 0, dtype=np.bool_)
    from scipy.ndimage import binary_opening

    return np.asarray(binary_opening(image > image.mean()), dtype=np.bool_)


def _refuse_other_world(mask: Volume, flair: Volume) -> None:
    """Refuse a mask on another grid whose header names another world than the image's."""
    worlds = [_WORLDS.get(volume.code) for volume in (mask, flair)]
    if None not in worlds and worlds[0] != worlds[1]:
        raise ScanError(
            f"{mask.path}: its header places it in {worlds[0]} (code {mask.code}), that of "
            f"{flair.path.name} in {worlds[1]} (code {flair.code}), and their grids differ; "
            "resample it to the FLAIR, or correct the wrong code"
        )


def _check_overlap(mask: Volume, labels: Labels, flair: Volume, needed: NDArray[np.bool_]) -> None:
    """Refuse a mask on another grid that the FLAIR's and its own box do not both hold whole."""
    to_mask = np.linalg.inv(mask.affine) @ flair.affine
    covered = _share_inside(needed, to_mask, mask.data.shape)
    to_flair = np.linalg.inv(flair.affine) @ mask.affine
    held = _share_inside(labels != 0, to_flair, flair.data.shape)
    if covered == 1.0 and held == 1.0:
        return
    ours, theirs = (" x ".join(map(str, volume.data.shape)) for volume in (mask, flair))
    raise ScanError(
        f"{mask.path}: its grid ({ours}) is not that of {flair.path.name} ({theirs}): it covers "
        f"{_percent(covered)} of what must be labelled there, and {_percent(held)} of its labels "
        "lie in that image; resample it"
    )


def _share_inside(marked: NDArray[np.bool_], to_other: Affine, shape: tuple[int, ...]) -> float:
    """Return the share of marked voxels whose centre lies in the other volume's box."""
    points = np.argwhere(marked)
    if not len(points):
        return 1.0
    voxels = points @ to_other[:3, :3].T + to_other[:3, 3]
    margin = 0.5 + MAX_SHIFT
    inside = ((voxels >= -margin) & (voxels <= np.array(shape) - 1 + margin)).all(axis=1)
    return float(inside.mean())


def _percent(share: float) -> str:
    """A share in percent, rounded down so that only the whole is called 100 %."""
    return f"{math.floor(1000 * share) / 10:g} %"


@compiled
def _most_frequent(
    labels: NDArray[np.int64],
    m: Affine,
    factor: NDArray[np.int64],
    zero: int,
    result: NDArray[np.int64],
) -> None:
    """Fill ``result`` with the label that most sample points of each voxel have.

    Args:
        labels: ``[X, Y, Z]`` of the source, numbered from 0 without gaps.
        m: voxel of ``result`` to voxel of ``labels``.
        factor: sample points per voxel along each axis.
        zero: the number of the label 0, which is also everything outside the source.
        result: the target.
    """
    votes = np.zeros(max(labels.max(), zero) + 1, dtype=np.int64)
    for x in range(result.shape[0]):
        for y in range(result.shape[1]):
            for z in range(result.shape[2]):
                votes[:] = 0
                for a in range(factor[0]):
                    fx = x - 0.5 + (a + 0.5) / factor[0]
                    for b in range(factor[1]):
                        fy = y - 0.5 + (b + 0.5) / factor[1]
                        for c in range(factor[2]):
                            fz = z - 0.5 + (c + 0.5) / factor[2]
                            i = np.rint(m[0, 0] * fx + m[0, 1] * fy + m[0, 2] * fz + m[0, 3])
                            j = np.rint(m[1, 0] * fx + m[1, 1] * fy + m[1, 2] * fz + m[1, 3])
                            k = np.rint(m[2, 0] * fx + m[2, 1] * fy + m[2, 2] * fz + m[2, 3])
                            label = zero
                            if (
                                0 <= i < labels.shape[0]
                                and 0 <= j < labels.shape[1]
                                and 0 <= k < labels.shape[2]
                            ):
                                label = labels[int(i), int(j), int(k)]
                            votes[label] += 1
                background = votes[zero]
                votes[zero] = 0
                is_labelled = 2 * background <= factor[0] * factor[1] * factor[2]
                result[x, y, z] = votes.argmax() if is_labelled else zero
