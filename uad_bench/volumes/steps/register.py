"""Affine registration of a stripped brain to the template, by ANTs with mutual information.

World coordinates are in mm, RAS+; ITK's are LPS+, and its transforms go from fixed to moving.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.system.extras import install_command
from uad_bench.volumes.files.mni152 import brain_of, read_mni152
from uad_bench.volumes.files.nifti import read_volume
from uad_bench.volumes.grid import Affine, FloatArray, Grid
from uad_bench.volumes.recipe import RegistrationKind
from uad_bench.volumes.steps.resample import resample
from uad_bench.volumes.steps.space import SRI24_TO_MNI152

SEED = 1
"""Of the places that ANTs samples the images at."""

SCALES = (0.5, 2.0)
"""The least and the largest stretch, in any direction, that an adult's brain can need."""

BRAIN_ML = (200.0, 4000.0)
"""The least and the largest volume that is taken for a brain, cut or with a rim of skull."""

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MARGIN = 12
"""Border around the template's brain in mm: what may lie there counts, too."""
_RIM_MM = 8.0
"""How far outside the scan's brain the images are still compared: far enough for the brain's
edge to count, and no further, for where a field of view ends the brain is only unknown."""
_COARSE_MM = 7.0
_TURNS = (-24.0, 0.0, 24.0)
"""Angles in degrees about each axis from which the start is searched."""
_STARTS = 3
_BINS = 24
_POWELL = {"maxiter": 3, "xtol": 0.5, "ftol": 1e-4}
_SRI24_SHAPE = (240, 240, 155)
_SRI24_BOX = np.array([[-239.0, 0.0], [0.0, 239.0], [0.0, 154.0]])
_SRI24_LITRES = (1.0, 2.0)


@dataclass(frozen=True, slots=True)
class _Levels:
    """ANTs' multi-resolution scheme, coarse to fine.

    Attributes:
        step_mm: voxel size of both images before they are shrunk.
        iterations: at most so many at each level.
        shrink: factor on ``step_mm``.
        smoothing: standard deviation in voxels of ``step_mm``.
    """

    step_mm: float
    iterations: tuple[int, ...]
    shrink: tuple[int, ...]
    smoothing: tuple[float, ...]


_LEVELS: dict[RegistrationKind, _Levels] = {
    "affine": _Levels(1.0, (2100, 1200, 1200, 10), (6, 4, 2, 1), (3, 2, 1, 0)),
    "affine-fast": _Levels(2.0, (2100, 1200), (3, 2), (1.5, 1.0)),
}


@dataclass(frozen=True, slots=True)
class Target:
    """The template that scans are registered to.

    Attributes:
        name: the template space.
        image: float32 ``[X, Y, Z]``, T1, 0 outside the brain.
        brain: bool ``[X, Y, Z]``.
        affine: voxel to the template's own world coordinates in mm.
        to_mni152: the template's world to MNI152's.
    """

    name: Literal["mni152", "sri24"]
    image: FloatArray
    brain: NDArray[np.bool_]
    affine: Affine
    to_mni152: Affine


def load_target(template: Path | None) -> Target:
    """Load the template to register to.

    Args:
        template: the stripped T1 of SRI24, or the folder that holds it as ``t1_stripped.nii.gz``;
            ``None`` takes the MNI152 T1 that nilearn carries.

    Raises:
        UadBenchError: in one line, when ``template`` is not that.
    """
    return _mni152() if template is None else _sri24(template)


def _mni152() -> Target:
    image, affine = read_mni152("t1")
    brain = brain_of(image)
    return Target("mni152", image * brain, brain, affine, np.eye(4))


def _sri24(template: Path) -> Target:
    path = template / "t1_stripped.nii.gz" if template.is_dir() else template
    volume = read_volume(path)
    image = volume.data.astype(np.float32)
    corners = [[0.0, n - 1.0] for n in image.shape]
    box = np.sort(volume.affine[:3, :3] @ corners + volume.affine[:3, 3:], axis=1)
    brain = image > 0
    litres = np.count_nonzero(brain) / 1e6
    if image.shape != _SRI24_SHAPE or np.abs(box - _SRI24_BOX).max() > 1.0:
        raise UadBenchError(f"{path}: not on SRI24's grid; give SRI24's t1_stripped.nii.gz")
    if not _SRI24_LITRES[0] < litres < _SRI24_LITRES[1]:
        raise UadBenchError(
            f"{path}: {litres:.1f} l are not 0, no brain alone; give SRI24's t1_stripped.nii.gz"
        )
    return Target("sri24", image, brain, volume.affine, SRI24_TO_MNI152)


def load_ants() -> ModuleType:
    """Import ANTs so that its results repeat: one thread (sums in one order) and one seed.

    Raises:
        UadBenchError: when it is not installed.
    """
    # ITK reads both when it first starts a thread or draws a number in this process.
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["ANTS_RANDOM_SEED"] = str(SEED)
    try:
        import ants
    except ImportError as error:
        raise UadBenchError(
            f"registration and bias correction need ANTs: {install_command('prepare')}"
        ) from error
    return ants  # type: ignore[no-any-return]


def grid_around(brain: NDArray[np.bool_], affine: Affine, *, step: float, margin: float) -> Grid:
    """Return an axis-aligned RAS+ grid of ``step`` mm, ``margin`` mm larger than a brain.

    Its index is (x, y, z), each growing with its world coordinate.
    """
    places = np.argwhere(brain) @ affine[:3, :3].T + affine[:3, 3]
    low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
    x, y, z = (int(n) for n in np.ceil((high - low) / step) + 1)
    grid = np.diag([step, step, step, 1.0])
    grid[:3, 3] = low
    return Grid(grid, (x, y, z))


def to_ants(image: NDArray[Any], grid: Grid) -> Any:
    """Hand ``image`` ``[X, Y, Z]`` on a grid of `grid_around` to ANTs."""
    return load_ants().from_numpy(
        np.ascontiguousarray(image, dtype=np.float32),
        origin=(_LPS @ grid.affine)[:3, 3].tolist(),
        spacing=np.diag(grid.affine)[:3].tolist(),
        direction=_LPS[:3, :3],
    )


def register(
    image: FloatArray,
    brain: NDArray[np.bool_],
    affine: Affine,
    target: Target,
    kind: RegistrationKind,
) -> Affine:
    """Find the way of a scan to MNI152.

    The scan is brought near the template by a coarse search over rotations, shifts and sizes
    (a similarity, so that neither its place, its axes nor a cut field of view matter), resampled
    there, and registered by ANTs: Mattes' mutual information with 32 bins, 12 parameters, over the
    scan's brain and the 8 mm around it. The same input gives the same result with the same
    versions of antspyx, numpy and scipy on the same kind of CPU.

    Args:
        image: float32 ``[X, Y, Z]``, any scale.
        brain: bool ``[X, Y, Z]``; only what is inside counts.
        affine: voxel to the scan's world coordinates in mm (RAS+).
        target: the template.
        kind: ``affine`` for ANTs' usual four levels, 6 to 1 mm; ``affine-fast`` for the first two.

    Returns:
        float64 ``[4, 4]``, the scan's world to MNI152's, both in mm (RAS+).

    Raises:
        ScanError: when the brain's volume is no brain's, ANTs fails, or its result stretches the
            brain impossibly.
        UadBenchError: when ANTs is not installed.
    """
    brain_ml = np.count_nonzero(brain) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
    if not BRAIN_ML[0] <= brain_ml <= BRAIN_ML[1]:
        raise ScanError(
            f"registration failed: {brain_ml:.0f} ml are no brain; check the brain mask and the "
            "header's voxel size"
        )
    levels = _LEVELS[kind]
    fixed_grid = grid_around(target.brain, target.affine, step=levels.step_mm, margin=_MARGIN)
    fixed = resample(_levelled(target.image, target.brain), target.affine, fixed_grid)
    values = _levelled(image, brain)
    start = _coarse_start(values, brain, affine, target)
    moving = resample(values, start @ affine, fixed_grid)
    result = _ants_affine(fixed, moving, fixed_grid, levels) @ start
    stretch = np.linalg.svd(result[:3, :3], compute_uv=False)
    if np.linalg.det(result) <= 0:
        raise ScanError("registration failed: it mirrors the brain; check the header's orientation")
    if stretch.min() < SCALES[0] or stretch.max() > SCALES[1]:
        raise ScanError(
            f"registration failed: it stretches the brain by {stretch.min():.2f} to "
            f"{stretch.max():.2f}; check the brain mask and the header's voxel size"
        )
    return np.asarray(target.to_mni152 @ result, dtype=np.float64)


def _levelled(image: FloatArray, brain: NDArray[np.bool_]) -> FloatArray:
    """Scale the brain to [0.1, 1] between its 1st and 99th percentile; 0 outside.

    Outliers would leave the histogram's bins to themselves.
    """
    low, high = np.percentile(image[brain], (1, 99))
    scaled = (image - low) / max(float(high - low), 1e-6)
    return np.asarray(np.where(brain, 0.1 + 0.9 * scaled.clip(0, 1), 0), dtype=np.float32)


def _coarse_start(
    values: FloatArray, brain: NDArray[np.bool_], affine: Affine, target: Target
) -> Affine:
    """Search the similarity that brings a scan's world to the target's, at `_COARSE_MM`.

    Mutual information from the centres of mass and 27 rotations; the best few are refined.
    """
    fixed_grid = grid_around(target.brain, target.affine, step=_COARSE_MM, margin=_MARGIN)
    fixed = resample(_levelled(target.image, target.brain), target.affine, fixed_grid)
    moving_grid = grid_around(brain, affine, step=_COARSE_MM, margin=_MARGIN)
    moving = resample(values, affine, moving_grid)
    points = np.indices(fixed.shape).reshape(3, -1) * _COARSE_MM + fixed_grid.affine[:3, 3:]
    centre = _centre(fixed, fixed_grid)
    points = points - centre[:, None]
    middle = _centre(moving, moving_grid)
    bins = np.minimum((fixed.ravel() * _BINS).astype(np.int64), _BINS - 1)

    def cost(parameters: NDArray[np.float64]) -> float:
        to_moving = _similarity(parameters)
        at = to_moving[:3, :3] @ points + (to_moving[:3, 3] + middle)[:, None]
        voxels = (at - moving_grid.affine[:3, 3:]) / _COARSE_MM
        return -_mutual_information(
            bins, ndimage.map_coordinates(moving, voxels, order=1, mode="constant")
        )

    turns = np.stack(np.meshgrid(*(_TURNS,) * 3, indexing="ij")).reshape(3, -1).T
    starts = [np.concatenate([turn, np.zeros(4)]) for turn in turns]
    best = min(
        (
            optimize.minimize(cost, start, method="Powell", options=_POWELL)
            for start in sorted(starts, key=cost)[:_STARTS]
        ),
        key=lambda found: float(found.fun),
    )
    to_moving = _similarity(best.x)
    to_moving[:3, 3] += middle - to_moving[:3, :3] @ centre
    return np.asarray(np.linalg.inv(to_moving), dtype=np.float64)


def _centre(image: FloatArray, grid: Grid) -> NDArray[np.float64]:
    """Centre of mass of what is not 0, in mm."""
    return np.asarray(
        grid.affine[:3, :3] @ np.argwhere(image > 0).mean(axis=0) + grid.affine[:3, 3]
    )


def _similarity(parameters: NDArray[np.float64]) -> Affine:
    """A rotation vector in degrees, a shift in mm and a size in per cent as a matrix."""
    matrix = np.eye(4)
    turn = Rotation.from_rotvec(parameters[:3], degrees=True).as_matrix()
    matrix[:3, :3] = turn * np.exp(parameters[6] / 100.0)
    matrix[:3, 3] = parameters[3:6]
    return matrix


def _mutual_information(fixed_bins: NDArray[np.int64], moving: FloatArray) -> float:
    """Mutual information in nats; a moving value counts for its two nearest bins."""
    at = moving.clip(0, 1) * (_BINS - 1)
    lower = np.minimum(at.astype(np.int64), _BINS - 2)
    upper = at - lower
    cell = fixed_bins * _BINS + lower
    counts = np.bincount(cell, 1 - upper, _BINS**2) + np.bincount(cell + 1, upper, _BINS**2)
    joint = counts.reshape(_BINS, _BINS) / len(moving)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / product[filled])).sum())


def _ants_affine(fixed: FloatArray, moving: FloatArray, grid: Grid, levels: _Levels) -> Affine:
    """Register two images that lie on one grid: moving's world to fixed's, RAS+."""
    ants = load_ants()
    outside = ndimage.distance_transform_edt(moving == 0, sampling=levels.step_mm)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = ants.registration(
                to_ants(fixed, grid),
                to_ants(moving, grid),
                type_of_transform="Affine",
                initial_transform="Identity",
                moving_mask=to_ants(outside <= _RIM_MM, grid),
                mask_all_stages=True,
                aff_metric="mattes",
                aff_iterations=levels.iterations,
                aff_shrink_factors=levels.shrink,
                aff_smoothing_sigmas=levels.smoothing,
                outprefix=f"{folder}{os.sep}",
            )
            transform = ants.read_transform(found["fwdtransforms"][0])
        except (RuntimeError, IndexError) as error:
            raise ScanError("registration failed in ANTs; check the brain mask") from error
    linear = np.asarray(transform.parameters[:9], dtype=np.float64).reshape(3, 3)
    centre = np.asarray(transform.fixed_parameters, dtype=np.float64)
    to_moving = np.eye(4)
    to_moving[:3, :3] = linear
    to_moving[:3, 3] = np.asarray(transform.parameters[9:]) + centre - linear @ centre
    if not np.isfinite(to_moving).all() or abs(np.linalg.det(linear)) < 1e-6:
        raise ScanError("registration failed in ANTs: no invertible result; check the brain mask")
    return np.asarray(_LPS @ np.linalg.inv(to_moving) @ _LPS, dtype=np.float64)
