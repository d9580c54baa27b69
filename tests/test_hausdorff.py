"""Protects: Hausdorff distances run between surfaces, in mm, with a written rule for empty masks;
and lesions are counted by 26-connected components."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage
from scipy.spatial.distance import cdist
from surface_distance import (
    compute_average_surface_distance,
    compute_robust_hausdorff,
    compute_surface_distances,
)

from uad_bench.evaluation.hausdorff import (
    box_diagonal,
    slice_distances,
    surface,
    surface_distance,
)
from uad_bench.evaluation.lesions import count_lesions

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
        assert (found.hd, found.hd95) == (99.0, 99.0)
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
def test_the_surface_is_what_erosion_takes_away(pair):
    mask = pair[0]
    assert np.array_equal(surface(mask), mask & ~ndimage.binary_erosion(mask))
    for piece in mask:
        assert np.array_equal(surface(piece), piece & ~ndimage.binary_erosion(piece))


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


def test_lesions_are_counted_by_corner_connected_components():
    lesion = np.zeros((6, 8, 8), np.bool_)
    lesion[0, 0, 0] = lesion[1, 1, 1] = True  # joined by a corner: one lesion
    lesion[4, 4, 4] = True  # found
    lesion[0, 7, 7] = True  # missed
    prediction = np.zeros_like(lesion)
    prediction[1, 1, 1:3] = True  # overlaps the first
    prediction[4, 4, 4] = True
    prediction[5, 0, 7] = True  # false
    counts = count_lesions(prediction, lesion)
    assert (counts.lesions, counts.detected) == (3, 2)
    assert (counts.findings, counts.true_findings, counts.false_findings) == (3, 2, 1)
    assert counts.recall == counts.precision == pytest.approx(2 / 3)


def test_silence_has_no_precision_where_there_are_lesions():
    nothing, one = np.zeros((2, 3, 3), np.bool_), np.zeros((2, 3, 3), np.bool_)
    one[0, 0, 0] = True
    assert (count_lesions(nothing, one).recall, count_lesions(nothing, one).precision) == (0, 0)
    assert (count_lesions(one, nothing).recall, count_lesions(one, nothing).precision) == (None, 0)
    silent = count_lesions(nothing, nothing)
    assert (silent.recall, silent.precision) == (None, None)


@given(PAIRS)
def test_lesion_counts_are_those_of_component_by_component_comparison(pair):
    prediction, lesion = pair
    counts = count_lesions(prediction, lesion)
    touching = np.ones((3, 3, 3))

    def components(mask):
        labels, number = ndimage.label(mask, structure=touching)
        return [labels == label for label in range(1, number + 1)]

    assert counts.lesions == len(components(lesion))
    assert counts.detected == sum((one & prediction).any() for one in components(lesion))
    assert counts.findings == len(components(prediction))
    assert counts.false_findings == sum(not (one & lesion).any() for one in components(prediction))
