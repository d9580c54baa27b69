"""Anatomies from FreeSurfer-style label maps, aligned to MNI152 by an affine fit."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from uad_bench.errors import UadBenchError
from uad_bench.phantom.brain.anatomy import (
    MAPS,
    WORK_SHAPE,
    Anatomy,
    build,
    signed_distance,
    template_anatomy,
    work_affine,
)
from uad_bench.phantom.brain.blur import blurred
from uad_bench.phantom.brain.fields import Array

_WM: Final = (2, 41, 7, 46, 16, 25, 57, 77, 85, 28, 60, 192, 251, 252, 253, 254, 255)
_GM: Final = (
    3,
    42,
    8,
    47,
    10,
    49,
    11,
    50,
    12,
    51,
    13,
    52,
    17,
    53,
    18,
    54,
    26,
    58,
    136,
    137,
    163,
    164,
)
_CSF: Final = (4, 5, 14, 15, 24, 30, 31, 43, 44, 62, 63, 72, 75, 76)
_VENTRICLES: Final = (4, 43, 5, 44, 31, 63)
_BELOW: Final = (7, 8, 46, 47, 15, 16)
_TONE: Final = {
    **{13: 0.78, 52: 0.78, 12: 0.95, 51: 0.95, 10: 0.92, 49: 0.92, 28: 0.93, 60: 0.93},
    **{17: 1.04, 53: 1.04, 18: 1.04, 54: 1.04, 16: 0.97},
}
_LAST: Final = 256
_FIT: Final = 6
_COARSE: Final = 3
_SULCUS: Final = 6.0
_SCALE: Final = np.array([5.0] * 3 + [0.1] * 3 + [0.06] * 3)


def find_label_maps(folder: Path) -> tuple[Path, ...]:
    """The label maps of a folder, sorted by name.

    Raises:
        UadBenchError: the folder does not exist or holds no NIfTI file.
    """
    files = tuple(sorted([*folder.glob("*.nii.gz"), *folder.glob("*.nii")]))
    if not files:
        raise UadBenchError(
            f"no label maps (*.nii.gz) in {folder}; give --anatomies a folder of FreeSurfer labels"
        )
    return files


def _lookup(values: dict[int, float] | tuple[int, ...], default: float = 0.0) -> Array:
    table = np.full(_LAST + 1, default, dtype=np.float32)
    pairs = values.items() if isinstance(values, dict) else ((label, 1.0) for label in values)
    for label, value in pairs:
        table[label] = value
    return table


def _read(path: Path) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Labels, everything outside the brain as 0, and the affine."""
    try:
        image = nib.load(path)
        labels = np.rint(np.asarray(image.dataobj)).astype(np.int16)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise UadBenchError(f"label map {path} cannot be read ({error}); replace it") from error
    if labels.ndim != 3:
        raise UadBenchError(f"label map {path} is {labels.ndim}-dimensional; give a 3D volume")
    labels[(labels < 0) | (labels > _LAST)] = 0
    counts = np.bincount(labels.ravel(), minlength=_LAST + 1)
    if not counts[list(_WM)].any() or not counts[list(_GM)].any():
        raise UadBenchError(f"label map {path} has no brain labels; use FreeSurfer's numbering")
    box = ndimage.find_objects(_lookup((*_WM, *_GM)).astype(np.int8)[labels])[0]
    box = tuple(slice(max(s.start - 5, 0), s.stop + 5) for s in box)
    affine = np.asarray(image.affine, dtype=np.float64).copy()
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in box]
    labels = labels[box]
    return np.where(_lookup((*_WM, *_GM, *_CSF))[labels] > 0, labels, 0).astype(np.int16), affine


def _moments(
    mask: Array, affine: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and standard deviations in mm of a weight map, in world coordinates."""
    at = np.argwhere(mask > 0.5) @ affine[:3, :3].T + affine[:3, 3]
    return at.mean(axis=0), at.std(axis=0)


def align_to_template(
    parenchyma: Array,
    affine: NDArray[np.float64],
    target: Array,
    target_affine: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Affine from template world to the subject's world that overlays the parenchyma.

    Starts from centre and extent, then fits nine numbers (shift, rotation, size) to the soft
    overlap of the smoothed masks at 6 mm, with Powell's method.

    Returns:
        float64 ``[4, 4]``.
    """
    centre, extent = _moments(parenchyma, affine)
    target_centre, target_extent = _moments(target, target_affine)
    moving = blurred(parenchyma, 2.0)[::_COARSE, ::_COARSE, ::_COARSE]
    fixed = blurred(target, 2.0)[::_FIT, ::_FIT, ::_FIT]
    step = [np.arange(0, n, _FIT) for n in target.shape]
    grid = np.stack(np.meshgrid(*step, indexing="ij"))
    world = np.tensordot(target_affine[:3, :3], grid, axes=1)
    world += (target_affine[:3, 3] - target_centre)[:, None, None, None]
    inverse = np.linalg.inv(affine)

    def linear(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b, c = parameters[3:6]
        rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        size = extent / target_extent * np.exp(parameters[6:9])
        return np.asarray(rx @ ry @ rz @ np.diag(size))

    def loss(parameters: NDArray[np.float64]) -> float:
        scaled = parameters * _SCALE
        there = np.tensordot(linear(scaled), world, axes=1)
        there += (centre + scaled[:3])[:, None, None, None]
        voxels = np.tensordot(inverse[:3, :3], there, axes=1) + inverse[:3, 3][:, None, None, None]
        moved = ndimage.map_coordinates(moving, voxels / _COARSE, order=1, mode="constant")
        return -float(2 * (moved * fixed).sum() / ((moved**2).sum() + (fixed**2).sum()))

    best = optimize.minimize(
        loss, np.zeros(9), method="Powell", options={"maxiter": 3, "xtol": 0.02, "ftol": 1e-4}
    )
    scaled = best.x * _SCALE
    result = np.eye(4)
    result[:3, :3] = linear(scaled)
    result[:3, 3] = centre + scaled[:3] - result[:3, :3] @ target_centre
    return result


@functools.lru_cache(maxsize=4)
def label_map_anatomy(path: Path) -> Anatomy:
    """Read a whole-head or whole-brain label map and bring it to the working grid.

    Labels follow FreeSurfer's numbering; 25 and 57 (lesions) count as white matter; labels that
    are no brain are dropped.

    Raises:
        UadBenchError: a file that cannot be read or that holds no brain labels.
    """
    labels, affine = _read(path)
    template = template_anatomy().maps
    target = template[..., MAPS.index("gm")] + template[..., MAPS.index("wm")]
    table = _lookup((*_WM, *_GM))
    transform = align_to_template(table[labels], affine, target, work_affine())
    pull = np.linalg.inv(affine) @ transform @ work_affine()

    def resample(values: Array, order: int) -> Array:
        moved = ndimage.affine_transform(
            values,
            pull[:3, :3],
            pull[:3, 3],
            WORK_SHAPE,
            order=order,
            mode="constant",
            prefilter=False,
        )
        return np.asarray(moved, dtype=np.float32)

    def soft(kinds: tuple[int, ...]) -> Array:
        return resample(blurred(_lookup(kinds)[labels], 0.55), 1)

    csf, gm, wm = soft(_CSF), soft(_GM), soft(_WM)
    total = np.clip(csf + gm + wm, 1e-3, None)
    solid = gm + wm > 0.5
    moved = np.rint(resample(labels.astype(np.float32), 0)).astype(np.int16)
    # Labels of CSF reach the skull; the extracted brain is the parenchyma with its sulci closed.
    brain = signed_distance(signed_distance(solid) < _SULCUS) < -_SULCUS
    brain = ndimage.binary_fill_holes(brain | solid)
    filled = brain & (csf + gm + wm < 0.5)
    return build(
        path.name,
        csf=np.where(filled, 1.0, csf / total * brain).astype(np.float32),
        gm=np.where(filled, 0.0, gm / total * brain).astype(np.float32),
        wm=np.where(filled, 0.0, wm / total * brain).astype(np.float32),
        depth=-signed_distance(brain),
        ventricles=_lookup(_VENTRICLES)[moved] > 0,
        cerebrum=brain & (_lookup(_BELOW)[moved] == 0),
        nuclei_tone=_lookup(_TONE, 1.0)[moved],
        soft=False,
    )
