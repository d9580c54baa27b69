"""Protects: distances run between surfaces, in mm, with a written rule for empty masks."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage
from scipy.spatial.distance import cdist
from surface_distance import (
    compute_average_surface_distance,
    compute_robust_hausdorff,
    compute_surface_dice_at_tolerance,
    compute_surface_distances,
)

from uad_bench.evaluation.masks.hausdorff import (
    TOLERANCE_MM,
    box_diagonal,
    slice_distances,
    surface_distance,
)

SPACINGS = st.tuples(*[st.sampled_from([0.5, 1.0, 1.5, 2.0, 6.5])] * 3)
PAIRS = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6).flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)


def blobs(seed, shape=(14, 30, 26)):
    """Two smooth random masks that do not touch the border."""
    rng = np.random.default_rng(seed)
    inside = np.pad(np.ones(np.subtract(shape, 6), np.bool_), 3)
    fields = (ndimage.gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(2))
    return tuple(inside & (field > 0.08) for field in fields)


def monai(prediction, lesion, spacing, percentile):
    pair = (torch.from_numpy(mask)[None, None] for mask in (prediction, lesion))
    found = compute_hausdorff_distance(
        *pair, include_background=True, percentile=percentile, spacing=list(spacing)
    )
    return float(found[0, 0])


def brute(prediction, lesion, spacing):
    """Both numbers from the full table of distances between eroded-away voxels."""
    edges = [
        np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(spacing)
        for mask in (prediction, lesion)
    ]
    table = cdist(*edges)
    near = table.min(axis=1), table.min(axis=0)
    return max(d.max() for d in near), max(np.percentile(d, 95) for d in near)


@given(PAIRS, SPACINGS)
def test_distances_are_those_of_brute_force(pair, spacing):
    prediction, lesion = pair
    found = surface_distance(prediction, lesion, spacing, penalty=99.0)
    if prediction.any() and lesion.any():
        assert found.missing is None
        assert (found.hd, found.hd95) == pytest.approx(brute(prediction, lesion, spacing))
    elif prediction.any() or lesion.any():
        assert (found.hd, found.hd95, found.dice) == (99.0, 99.0, 0.0)
        assert found.missing == ("lesion" if prediction.any() else "prediction")
    else:
        assert found is None


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 1.5), (6.5, 0.9, 1.1)])
@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_monai(seed, spacing):
    prediction, lesion = blobs(seed)
    found = surface_distance(prediction, lesion, spacing, penalty=0.0)
    assert found.hd == pytest.approx(monai(prediction, lesion, spacing, None), rel=1e-5)
    assert found.hd95 == pytest.approx(monai(prediction, lesion, spacing, 95), rel=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 1.5), (6.5, 0.9, 1.1)])
@pytest.mark.parametrize("seed", range(3))
def test_distance_is_that_of_surface_distance_up_to_half_a_voxel_a_side(seed, spacing):
    # Its surface elements lie between voxels, within half a voxel diagonal of ours.
    prediction, lesion = blobs(seed)
    theirs = compute_robust_hausdorff(compute_surface_distances(prediction, lesion, spacing), 100)
    ours = surface_distance(prediction, lesion, spacing, penalty=0.0).hd
    assert abs(ours - theirs) <= np.linalg.norm(spacing)


@given(PAIRS, SPACINGS, st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_surface_dice_is_the_share_of_surface_voxels_within_the_tolerance(pair, spacing, tolerance):
    edges = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(spacing) for mask in pair]
    found = surface_distance(*pair, spacing, penalty=99.0, tolerance=tolerance)
    if all(mask.any() for mask in pair):
        table = cdist(*edges)
        near = (table.min(axis=1) <= tolerance).sum() + (table.min(axis=0) <= tolerance).sum()
        assert found.dice == pytest.approx(near / (len(edges[0]) + len(edges[1])))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 1.5), (6.5, 0.9, 1.1)])
@pytest.mark.parametrize("seed", range(3))
def test_surface_dice_is_that_of_monai(seed, spacing):
    prediction, lesion = blobs(seed)
    ours = surface_distance(prediction, lesion, spacing, penalty=0.0).dice
    pair = (torch.from_numpy(mask)[None, None] for mask in (prediction, lesion))
    theirs = compute_surface_dice(
        *pair, class_thresholds=[TOLERANCE_MM], include_background=True, spacing=list(spacing)
    )
    assert ours == pytest.approx(float(theirs[0, 0]), abs=1e-6)
    assert 0 < ours < 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 1.5)])
@pytest.mark.parametrize("shift", [1, 2, 3, 5])
def test_surface_dice_is_that_of_surface_distance_up_to_a_voxel_in_the_tolerance(spacing, shift):
    # Its surface elements are weighted by area and lie up to half a voxel diagonal from ours.
    zz, yy, xx = np.ogrid[-22:23, -22:23, -22:23]
    ball = zz**2 + yy**2 + xx**2 <= 12**2
    moved = np.roll(ball, shift, axis=2)
    surfels = compute_surface_distances(moved, ball, spacing)
    theirs = compute_surface_dice_at_tolerance(surfels, 4.0)
    less, more = (
        surface_distance(moved, ball, spacing, 0.0, 4.0 + sign * np.linalg.norm(spacing)).dice
        for sign in (-1, 1)
    )
    assert less - 0.05 <= theirs <= more + 0.05


@given(PAIRS, SPACINGS)
def test_surface_dice_grows_with_the_tolerance_up_to_one(pair, spacing):
    prediction, lesion = pair
    tolerances = (0.0, 1.0, 3.0, box_diagonal(np.ones_like(lesion), spacing))
    found = [surface_distance(prediction, lesion, spacing, 9.0, one) for one in tolerances]
    if prediction.any() and lesion.any():
        dices = [one.dice for one in found]
        assert dices == sorted(dices)
        assert dices[-1] == 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_voxel_of_the_default_grid_is_within_the_tolerance_and_two_are_not(axis):
    lesion = np.zeros((20, 20, 20), np.bool_)
    lesion[8:12, 8:12, 8:12] = True
    for spacing in ((2.0, 1.5, 1.5), (np.float32(2.0000002), 1.5, 1.5)):
        one, two = (
            surface_distance(np.roll(lesion, by, axis), lesion, spacing, 0.0).dice for by in (1, 2)
        )
        assert one == 1.0 > two


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_is_its_length_in_mm_here_and_in_surface_distance(axis):
    spacing = (2.0, 1.5, 0.7)
    lesion = np.zeros((20, 20, 20), np.bool_)
    lesion[8:12, 8:12, 8:12] = True
    prediction = np.roll(lesion, 4, axis=axis)
    theirs = compute_surface_distances(prediction, lesion, spacing)
    assert compute_average_surface_distance(theirs)[0] > 0
    found = surface_distance(prediction, lesion, spacing, penalty=0.0)
    assert found.hd == pytest.approx(4 * spacing[axis])
    assert found.hd == pytest.approx(compute_robust_hausdorff(theirs, 100))


def test_a_ball_and_its_shell_are_close_because_surfaces_are_compared():
    zz, yy, xx = np.ogrid[-22:23, -22:23, -22:23]
    radius = np.sqrt(zz**2 + yy**2 + xx**2)
    ball, shell = radius <= 20, (radius <= 20) & (radius > 18)
    found = surface_distance(shell, ball, (1.0, 1.0, 1.0), penalty=0.0)
    # The shell's inner surface lies two voxels deep; a full-set distance would be 18 mm.
    assert 1.0 <= found.hd <= 2.0


@given(PAIRS, SPACINGS)
def test_distances_are_symmetric_and_never_beyond_the_box(pair, spacing):
    first, second = pair
    forth = surface_distance(first, second, spacing, penalty=1.0)
    back = surface_distance(second, first, spacing, penalty=1.0)
    assert (forth is None) == (back is None)
    if forth is not None:
        assert (forth.hd, forth.hd95) == (back.hd, back.hd95)
    if first.any() and second.any():
        assert forth.hd95 <= forth.hd <= box_diagonal(first | second, spacing) + 1e-9


@given(PAIRS)
def test_a_mask_is_at_distance_zero_from_itself(pair):
    mask = pair[0]
    found = surface_distance(mask, mask, (1.0, 2.0, 3.0), penalty=1.0)
    assert found is None if not mask.any() else (found.hd, found.hd95) == (0.0, 0.0)


@given(PAIRS)
def test_slices_are_measured_one_by_one_in_pixels(pair):
    prediction, lesion = pair
    found = slice_distances(prediction, lesion)
    assert found.shape == (len(prediction),)
    for distance, ours, theirs in zip(found, prediction, lesion, strict=True):
        if ours.any() and theirs.any():
            assert distance == pytest.approx(brute(ours, theirs, (1.0, 1.0))[0])
        elif ours.any() or theirs.any():
            assert np.isinf(distance)
        else:
            assert np.isnan(distance)


@pytest.mark.filterwarnings("ignore:the (ground truth|prediction) of class")
def test_slices_are_those_of_monai_with_slices_as_channels():
    prediction, lesion = blobs(0)
    pair = (torch.from_numpy(mask)[None] for mask in (prediction, lesion))
    theirs = compute_hausdorff_distance(*pair, include_background=True)[0].numpy()
    ours = slice_distances(prediction, lesion)
    finite = np.isfinite(theirs)
    assert finite.sum() >= 5
    assert np.array_equal(finite, np.isfinite(ours))
    assert np.allclose(ours[finite], theirs[finite], rtol=1e-5)


@pytest.mark.data
@pytest.mark.parametrize("patient", ["patient07", "patient19"])
def test_a_real_patients_bright_voxels_are_as_far_from_the_lesions_as_monai_says(
    real_patients, patient
):
    folder = real_patients / "MSLUB" / patient
    if not folder.is_dir():
        pytest.skip(f"no {patient} in {real_patients}")
    flair, lesion, brain = (
        np.asarray(nib.load(folder / f"{name}.nii.gz").dataobj)
        for name in ("FLAIR", "consensus_gt", "brainmask")
    )
    prediction = (brain > 0) & (flair > np.quantile(flair[brain > 0], 0.99))
    found = surface_distance(prediction, lesion > 0, (1.0, 1.0, 1.0), penalty=0.0)
    for ours, percentile in ((found.hd, None), (found.hd95, 95)):
        theirs = monai(prediction, lesion > 0, (1.0, 1.0, 1.0), percentile)
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_the_box_diagonal_is_in_mm_and_of_the_array_where_the_mask_is_empty():
    mask = np.zeros((5, 6, 7), np.bool_)
    assert box_diagonal(mask, (2.0, 1.0, 1.0)) == pytest.approx(np.sqrt(8**2 + 5**2 + 6**2))
    mask[1, 1, 1] = mask[2, 4, 5] = True
    assert box_diagonal(mask, (2.0, 1.0, 1.0)) == pytest.approx(np.sqrt(2**2 + 3**2 + 4**2))
