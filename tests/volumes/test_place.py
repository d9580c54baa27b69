"""A mask's place: the FLAIR's own voxels in any order of axes pass, in any other place they do not.

What holds for a few cases of real reports (``test_mask_grids.py``, ``test_mask_checks.py``) holds
here for every displacement and every way to store an array.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff
from scipy.spatial.transform import Rotation

from uad_bench.errors import ScanError
from uad_bench.volumes.files.masks import labels_on
from uad_bench.volumes.files.nifti import MAX_SHIFT, Volume, corner_distance
from uad_bench.volumes.files.place import align, misplaced

SHAPES = ((6, 7, 8), (6, 6, 6), (8, 6, 6))
turns = st.tuples(
    st.sampled_from(list(permutations(range(3)))),
    st.tuples(*[st.sampled_from([1.0, -1.0])] * 3),
)
shapes, sizes = st.sampled_from(SHAPES), st.tuples(*[st.floats(0.5, 7.0)] * 3)
angles = st.tuples(*[st.floats(-180.0, 180.0)] * 3)
offsets = st.tuples(*[st.floats(-200.0, 200.0)] * 3)


def rigid(angle: tuple[float, ...], offset: tuple[float, ...]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angle, degrees=True).as_matrix()
    matrix[:3, 3] = offset
    return matrix


def flair_of(shape: tuple[int, ...], size: tuple[float, ...], pose: np.ndarray) -> Volume:
    """A FLAIR of any shape and voxel size, anywhere and anyhow in its world."""
    return Volume(Path("flair.nii"), np.ones(shape, np.float32), pose @ np.diag([*size, 1.0]), 1)


def labels_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape) % 251


def stored(labels: np.ndarray, affine: np.ndarray, turn: tuple[tuple, tuple]) -> Volume:
    """The same labels at the same place, stored in another order and direction of axes."""
    axes = np.array(list(zip(*turn, strict=True)), dtype=float)
    to_original = inv_ornt_aff(axes, labels.shape)
    return Volume(Path("mask.nii"), apply_orientation(labels, axes), affine @ to_original, 1)


@given(shapes, sizes, angles, offsets, turns)
def test_however_a_mask_is_stored_its_labels_are_the_same(
    shape: tuple, size: tuple, angle: tuple, offset: tuple, turn: tuple
) -> None:
    flair, labels = flair_of(shape, size, rigid(angle, offset)), labels_of(shape)
    mask = stored(labels, flair.affine, turn)
    np.testing.assert_array_equal(labels_on(mask, flair, None), labels)


@given(shapes, sizes, angles, offsets, angles, offsets)
def test_every_rigid_displacement_above_the_limit_is_refused(
    shape: tuple, size: tuple, angle: tuple, offset: tuple, turned: tuple, moved: tuple
) -> None:
    flair, labels = flair_of(shape, size, rigid(angle, offset)), labels_of(shape)
    move = rigid(turned, moved)
    mask = Volume(Path("mask.nii"), labels, move @ flair.affine, 1)
    found = align(mask, flair)
    assert found is not None
    if found.same:  # a multiple of a quarter turn about the centre, or hardly a move
        assert found.voxels <= MAX_SHIFT
        return
    with pytest.raises(ScanError, match=r"mask\.nii: .* mm away; .*--mask-shift"):
        labels_on(mask, flair, None)


@given(shapes, sizes, angles, offsets, st.floats(0.0, 2.0), st.integers(0, 2))
def test_the_limit_is_a_tenth_of_a_voxel(
    shape: tuple, size: tuple, angle: tuple, offset: tuple, voxels: float, axis: int
) -> None:
    assume(abs(voxels - MAX_SHIFT) > 1e-6)
    flair, labels = flair_of(shape, size, rigid(angle, offset)), labels_of(shape)
    move = np.eye(4)
    move[axis, 3] = voxels
    mask = Volume(Path("mask.nii"), labels, flair.affine @ move, 1)
    assert corner_distance(flair.affine, mask.affine, shape) == pytest.approx(voxels, abs=1e-6)
    if voxels < MAX_SHIFT:
        np.testing.assert_array_equal(labels_on(mask, flair, None), labels)
    else:
        with pytest.raises(ScanError, match="mm away"):
            labels_on(mask, flair, None)


@given(shapes, sizes, angles, offsets, offsets, turns)
def test_a_shift_is_told_in_mm_and_may_be_allowed(
    shape: tuple, size: tuple, angle: tuple, offset: tuple, moved: tuple, turn: tuple
) -> None:
    """Voxel then lies on voxel, in the FLAIR's axes, whatever the header says."""
    distance = float(np.linalg.norm(moved))
    assume(distance > 0.1 * max(size) * np.sqrt(3) + 0.01)
    flair, labels = flair_of(shape, size, rigid(angle, offset)), labels_of(shape)
    shifted = rigid((0.0, 0.0, 0.0), moved) @ flair.affine
    mask = stored(labels, shifted, turn)
    found = align(mask, flair)
    assert found is not None
    assert found.mm == pytest.approx(distance, rel=1e-6)
    np.testing.assert_array_equal(labels_on(mask, flair, None, distance + 0.001), labels)
    with pytest.raises(ScanError, match="mm away"):
        labels_on(mask, flair, None, distance - 0.001)


@pytest.mark.parametrize("factor", [0.98, 1.02, 2.0])
def test_another_voxel_size_is_another_place(factor: float) -> None:
    """With the FLAIR's shape it is refused; the distance is that of the farthest corner."""
    flair = flair_of((60, 70, 80), (1.0, 1.0, 1.0), np.eye(4))
    mask = Volume(Path("mask.nii"), labels_of((60, 70, 80)), np.diag([factor, 1, 1, 1]), 1)
    with pytest.raises(ScanError, match=rf"up to {abs(factor - 1) * 59:.3g} mm away"):
        labels_on(mask, flair, None)


def test_an_acquisition_in_other_planes_is_another_grid() -> None:
    """Thick coronal slices have the shape of thick axial ones in another order: no displacement."""
    flair = flair_of((40, 40, 10), (1.0, 1.0, 4.0), np.eye(4))
    mask = Volume(Path("mask.nii"), np.zeros((40, 10, 40), np.uint8), np.diag([1.0, 4, 1, 1]), 1)
    assert align(mask, flair) is None


def test_a_lesion_mostly_outside_the_brain_is_nobodys() -> None:
    brain, lesion = np.zeros((2, 20, 20, 20), bool)
    brain[5:15, 5:15, 5:15] = True
    lesion[13:17, 5:9, 5:9] = True  # half of it outside
    assert misplaced(lesion, brain, np.eye(4)) is None
    assert misplaced(np.zeros_like(lesion), brain, np.eye(4)) is None
    lesion[17, 5:9, 5:9] = True
    message = misplaced(lesion, brain, np.eye(4))
    assert message is not None
    assert message.startswith("60% of the lesion lies outside the brain: check")


def test_a_lesion_that_fills_most_of_the_brain_is_a_brain_mask() -> None:
    """Half of the brain is believed; more is not, wherever else the mask lies."""
    brain, lesion = np.zeros((2, 20, 20, 20), bool)
    brain[5:15, 5:15, 5:15] = True
    lesion[5:10, 5:15, 5:15] = True
    assert misplaced(lesion, brain, np.eye(4)) is None
    lesion[10, 5:15, 5:15] = True
    assert misplaced(lesion, brain, np.eye(4)) == (
        "the lesion fills 60% of the brain: a brain mask?"
    )
