"""Resampling: the affine alone decides where a voxel goes, and volumes are kept."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from scipy import ndimage

from uad_bench.volumes.grid import Grid
from uad_bench.volumes.steps.resample import resample, resample_lesion, resample_tissues

GRID = Grid(
    np.array([[0, 0, -2.0, 31.0], [0, -2.0, 0, 31.0], [3.0, 0, 0, -30.0], [0, 0, 0, 1.0]]),
    (20, 32, 32),
)
"""64 x 64 mm in the plane, 60 mm high, centred on the origin."""


def reoriented(data: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same world content, stored with other axes (nibabel as the oracle)."""
    change = ornt_transform(nib.io_orientation(affine), axcodes2ornt(tuple(codes)))
    return nib.apply_orientation(data, change), affine @ inv_ornt_aff(change, data.shape)


def reference(source: np.ndarray, affine: np.ndarray, grid: Grid) -> np.ndarray:
    """The same mean by scipy: sample on a finer grid, then average blocks."""
    to_voxel = np.linalg.inv(affine) @ grid.affine
    factor = np.maximum(2, np.ceil(np.linalg.norm(to_voxel[:3, :3], axis=0))).astype(int)
    samples = ndimage.affine_transform(
        source.astype(np.float64),
        to_voxel[:3, :3] / factor,
        offset=to_voxel[:3, :3] @ (0.5 / factor - 0.5) + to_voxel[:3, 3],
        output_shape=tuple(np.array(grid.shape) * factor),
        order=1,
        mode="grid-constant",
    )
    blocks = samples.reshape([n for pair in zip(grid.shape, factor, strict=True) for n in pair])
    return blocks.mean(axis=(1, 3, 5))


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_equals_scipy_for_any_affine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.random(tuple(rng.integers(1, 12, 3))) * (rng.random() < 0.9)
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(size=(3, 3)) + np.diag(rng.choice([-4.0, 4.0], 3))
    affine[:3, 3] = rng.uniform(-40, 40, 3)
    np.testing.assert_allclose(
        resample(source, affine, GRID), reference(source, affine, GRID), atol=1e-5
    )


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), mask=st.booleans())
def test_equals_scipy_where_no_voxel_is_turned(seed: int, mask: bool) -> None:
    rng = np.random.default_rng(seed)
    source = rng.random(tuple(rng.integers(1, 12, 3)))
    source = source > 0.5 if mask else source
    affine = np.eye(4)
    steps = rng.uniform(0.3, 9.0, 3) * rng.choice([-1.0, 1.0], 3)
    affine[:3, :3] = np.diag(steps)[rng.permutation(3)]
    affine[:3, 3] = rng.uniform(-40, 40, 3)
    where = rng.random(GRID.shape) < 0.7
    expected = np.where(where, reference(source, affine, GRID), 0)
    np.testing.assert_allclose(resample(source, affine, GRID, where), expected, atol=1e-5)


@pytest.mark.parametrize("codes", ["LPS", "LAS", "RAS", "LIA", "PSR", "SLP", "IAR"])
def test_a_marked_corner_lands_in_one_place_whatever_the_axes(codes: str) -> None:
    data = np.zeros((24, 20, 16), dtype=np.float32)
    data[1:4, 2:5, 12:15] = 1.0
    data[23, 19, 0] = 3.0
    affine = np.diag([2.0, 2.5, 3.0, 1.0])
    affine[:3, 3] = (-22.0, -24.0, -21.0)
    expected = resample(data, affine, GRID)
    assert expected.max() > 0.2
    np.testing.assert_allclose(
        resample(*reoriented(data, affine, codes), GRID), expected, atol=1e-5
    )


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PSR"])
def test_row_0_is_anterior_column_0_right_and_z_ascends(codes: str) -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -30.0
    data = np.zeros((61, 61, 61), dtype=np.float32)
    data[55, 45, 35] = 1.0  # 25 mm right, 15 mm anterior, 5 mm superior of the centre
    image = resample(*reoriented(data, affine, codes), GRID)
    z, row, column = np.unravel_index(image.argmax(), image.shape)
    where = GRID.affine @ (z, row, column, 1)
    assert np.abs(where[:3] - (25, 15, 5)).max() <= 1.5
    assert row < 16
    assert column < 16
    assert z > 10


@settings(max_examples=20)
@given(
    centre=st.tuples(*(st.floats(-8, 8),) * 3),
    radius=st.floats(10, 18),
    thickness=st.sampled_from([0.7, 1.0, 3.0]),
)
def test_a_ball_keeps_its_volume(
    centre: tuple[float, float, float], radius: float, thickness: float
) -> None:
    steps = np.array([1.0, 0.9, thickness])
    shape = np.ceil(60 / steps).astype(int)
    affine = np.diag([*-steps, 1.0])
    affine[:3, 3] = steps * (shape - 1) / 2
    points = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    world = points * -steps + affine[:3, 3]
    ball = np.linalg.norm(world - centre, axis=-1) <= radius
    before = ball.sum() * np.prod(steps) / 1000.0
    share = resample(ball, affine, GRID)
    assert share.sum() * GRID.voxel_ml == pytest.approx(before, rel=0.01)
    assert (share >= 0.5).sum() * GRID.voxel_ml == pytest.approx(before, rel=0.15)  # staircase


def test_lesion_is_half_or_more_and_the_ignored_is_never_healthy() -> None:
    """One source voxel per half target column, so that shares are exact in the middle."""
    to_world = GRID.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    lesion = np.zeros(GRID.shape, dtype=np.uint8)
    lesion[4:9, 4:12, 4:12] = 1
    lesion[4:9, 4:12, 12:20] = 2
    result = resample_lesion(lesion, to_world, GRID)
    assert set(np.unique(result)) == {0, 1, 2}
    assert (result[5:8, 5:11, 5:11] == 1).all()
    assert (result[5:8, 5:11, 13:19] == 2).all()
    assert not (result[5:8, 5:11, 11:13] == 0).any()
    assert set(np.unique(resample_lesion((lesion == 1).astype(np.uint8), to_world, GRID))) == {0, 1}


def test_tissue_shares_never_sum_to_more_than_255() -> None:
    labels = np.random.default_rng(3).integers(0, 4, (30, 30, 30))
    maps = np.stack([labels == k for k in (1, 2, 3)]).astype(np.float32)
    affine = np.diag([1.1, 1.3, 1.7, 1.0])
    affine[:3, 3] = -20.0
    tissues = resample_tissues(maps, affine, GRID)
    shares = np.stack([resample(part, affine, GRID) for part in maps], axis=1)
    assert tissues.shape == (20, 3, 32, 32)
    assert tissues.astype(int).sum(axis=1).max() <= 255
    assert np.abs(tissues / 255.0 - shares).max() <= 1.01 / 255.0


def test_nothing_of_the_source_in_the_grid_gives_zeros() -> None:
    far = np.eye(4)
    far[:3, 3] = 1000.0
    assert not resample(np.ones((4, 4, 4)), far, GRID).any()
    assert not resample(np.zeros((4, 4, 4)), np.eye(4), GRID).any()


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_blocks_of_0_and_of_1_are_passed_over_without_another_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = ndimage.gaussian_filter(rng.normal(size=(40, 36, 44)), 4) > rng.normal(0, 0.02)
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(0, 0.2, (3, 3)) + np.diag(rng.choice([-1.5, 1.0, 1.5], 3))
    affine[:3, 3] = -affine[:3, :3] @ (20, 18, 22) + rng.uniform(-8, 8, 3)
    found = resample(source, affine, GRID)
    every = np.ones(GRID.shape, np.bool_)
    assert ((found == 0).any(), (found == 1).any()) == (True, True)
    np.testing.assert_array_equal(found, resample(source, affine, GRID, every))


def test_only_what_is_asked_for_is_filled() -> None:
    rng = np.random.default_rng(1)
    source, where = rng.random((30, 30, 30)), rng.random(GRID.shape) < 0.3
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -30.0
    found = resample(source, affine, GRID, where)
    assert found.any()
    np.testing.assert_array_equal(found, np.where(where, resample(source, affine, GRID), 0))
