"""Simulated datasets: the same by seed, anatomy in order, lesions where and as large as asked."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.phantom import parallel
from uad_bench.phantom.brain.anatomy import WORK_SHAPE, template_anatomy, work_affine
from uad_bench.phantom.brain.blur import _blurred, blurred
from uad_bench.phantom.brain.distance import _distance, distance_to
from uad_bench.phantom.brain.fields import (
    Field,
    by_planes,
    pulled,
    sample_maps,
    smooth_field,
    spline_matrix,
    upsample,
)
from uad_bench.phantom.brain.labelmap import label_map_anatomy
from uad_bench.phantom.brain.subject import STEP, Mass, subject_displacement
from uad_bench.phantom.datasets import simulate_dataset, simulate_subject
from uad_bench.phantom.disease.lesions import bounding_box, cut_for_volume, rate
from uad_bench.phantom.scan import PhantomScan
from uad_bench.phantom.scanner import slice_profile
from uad_bench.phantom.specs import DATASETS, split_of

COUNTS = (125, 15, 23)


@cache
def person(dataset: str, subject: int = 1) -> tuple[PhantomScan, ...]:
    return simulate_subject(dataset, subject, seed=5)


def dice(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    a, b = one > 0, other > 0
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_dataset_gives_scans_as_its_contract_says(dataset: str) -> None:
    spec = DATASETS[dataset]
    allowed = {"tumour": {0, 1, 2, 4}, "vascular": {0, 1, 2}, "sclerosis": {0, 1}, "healthy": {0}}
    scans = person(dataset)
    assert len(scans) == spec.session_count(1)
    for scan in scans:
        brain = scan.brain > 0
        arrays = (scan.lesion, scan.brain, scan.tissues)
        assert {array.shape for array in arrays} == {scan.flair.shape}
        assert {array.dtype for array in arrays} == {np.dtype(np.uint8)}
        assert scan.flair.dtype == np.float32
        assert np.isfinite(scan.flair).all()
        assert (scan.flair[~brain] == 0).all()
        assert not scan.lesion[~brain].any()
        assert set(np.unique(scan.lesion)) <= allowed[spec.disease]
        assert (scan.lesion.any()) == (spec.disease != "healthy")
        assert ((scan.tissues > 0) == brain).all()
        assert (scan.second_lesion is not None) == (spec.raters == 2)
        assert (scan.session is None) == (len(scans) == 1)
        volume = brain.sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000
        assert 1100 < volume < 2200
        assert scan.affine[2, 2] == max(1.0, scan.affine[2, 2])


def test_the_brain_lies_where_the_template_lies() -> None:
    """A mirrored or shifted axis would still look like a brain."""
    maps = template_anatomy().maps
    template = maps[..., 7] > 0
    for dataset in ("hi", "mslub"):
        scan = person(dataset)[0]
        pull = np.linalg.inv(scan.affine) @ work_affine()
        here = ndimage.affine_transform(
            scan.brain, pull[:3, :3], pull[:3, 3], output_shape=WORK_SHAPE, order=0
        )
        assert dice(here, template) > 0.88


def test_flair_orders_the_tissues() -> None:
    """Fluid is dark, white matter in the middle, cortex a little brighter."""
    scan = person("hi")[0]
    csf, gm, wm = (float(np.median(scan.flair[scan.tissues == label])) for label in (1, 2, 3))
    assert csf < 0.5 * wm < wm < gm < 1.4 * wm


def test_a_subject_depends_on_seed_dataset_and_number_alone() -> None:
    first, second = simulate_dataset("msi", subjects=2, seed=5)
    again = person("msi")[0]
    np.testing.assert_array_equal(first.flair, again.flair)
    np.testing.assert_array_equal(first.lesion, again.lesion)
    other = simulate_subject("msi", 1, seed=6)[0]
    assert not np.array_equal(second.flair > 0, first.flair > 0)
    assert not np.array_equal(other.flair > 0, first.flair > 0)


def test_healthy_people_come_after_patients_whose_number_does_not_change_them() -> None:
    patient, control = simulate_dataset("msi", subjects=1, seed=5, healthy=1)
    assert (patient.subject, patient.healthy, control.subject, control.healthy) == (
        *(1, False),
        *(2, True),
    )
    np.testing.assert_array_equal(patient.flair, person("msi")[0].flair)
    assert patient.lesion.any()
    assert not control.lesion.any()
    assert not np.array_equal(control.brain, patient.brain), "a patient's brain without lesions"
    (later,) = simulate_subject("msi", 8, seed=5, patients=7)
    np.testing.assert_array_equal(later.flair, control.flair)
    assert person("hi")[0].healthy


@pytest.mark.slow
def test_processes_change_nothing() -> None:
    with parallel.simulation_pool(2) as pool:
        scans = list(
            parallel.simulate_in_pool("gbi", subjects=2, healthy=1, seed=5, pool=pool, ahead=2)
        )
    assert [(scan.subject, scan.healthy) for scan in scans] == [(1, False), (2, False), (3, True)]
    np.testing.assert_array_equal(scans[1].flair, person("gbi", 2)[0].flair)


def test_time_points_share_lesions_and_raters_nearly_agree() -> None:
    first, *later = person("msisbi")
    assert [scan.session for scan in (first, *later)] == [1, 2, 3, 4]
    for scan in later:
        assert 0.6 < dice(first.lesion, scan.lesion) < 1
        assert not np.array_equal(first.flair, scan.flair)
    assert first.second_lesion is not None
    assert 0.6 < dice(first.lesion, first.second_lesion) < 1


def test_sites_take_turns_and_differ() -> None:
    scans = [person("wmh", subject)[0] for subject in (1, 3)]
    assert [scan.site for scan in scans] == ["Utrecht", "Amsterdam"]
    assert [scan.affine[2, 2] for scan in scans] == [3.0, 1.2]


@pytest.mark.parametrize(("dataset", "low", "high"), [("msi", 0.03, 0.97), ("brats", 0.35, 0.99)])
def test_thresholding_is_neither_blind_nor_perfect(dataset: str, low: float, high: float) -> None:
    scan = person(dataset)[0]
    brain = scan.brain > 0
    assert low < average_precision_score(scan.lesion[brain] > 0, scan.flair[brain]) < high


def test_tumour_labels_have_their_order() -> None:
    """The enhancing rim surrounds the core, and oedema is the brightest tissue."""
    scan = person("brats")[0]
    wm = float(np.median(scan.flair[scan.tissues == 3]))
    core = ndimage.binary_dilation(scan.lesion == 1)
    around = core & (scan.lesion != 1) & (scan.brain > 0)
    assert np.isin(scan.lesion[around], (2, 4)).mean() > 0.7
    assert np.median(scan.flair[scan.lesion == 2]) > 1.25 * wm
    volume = float((scan.lesion > 0).sum()) / 1000
    assert 10 < volume < 200


def test_any_first_subjects_are_split_as_the_dataset() -> None:
    found: Counter[str] = Counter()
    for count in range(1, sum(COUNTS) + 1):
        found[split_of(count, COUNTS)] += 1
        for name, share in zip(("train", "validation", "test"), COUNTS, strict=True):
            assert abs(found[name] - count * share / sum(COUNTS)) < 2.5
            assert count < 3 or found[name] > 0


def test_the_whole_healthy_dataset_is_split_as_published() -> None:
    found = Counter(split_of(subject, COUNTS) for subject in range(1, sum(COUNTS) + 1))
    assert (found["train"], found["validation"], found["test"]) == COUNTS
    assert {split_of(subject, (0, 0, 30)) for subject in range(1, 9)} == {"test"}


@given(st.integers(2, 60), st.floats(1.5, 20))
@settings(max_examples=30)
def test_spline_weights_sum_to_one(length: int, spacing: float) -> None:
    np.testing.assert_allclose(spline_matrix(length, spacing).sum(axis=1), 1, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 70), st.integers(2, 40), st.integers(2, 40)),
    spacing=st.floats(1.5, 30),
    seed=st.integers(0, 99),
)
def test_planes_of_a_field_are_those_of_the_whole(
    shape: tuple[int, int, int], spacing: float, seed: int
) -> None:
    field = Field.drawn(np.random.default_rng(seed), shape, spacing)
    matrices = [spline_matrix(length, spacing) for length in shape]
    draws = np.random.default_rng(seed).standard_normal(
        [matrix.shape[1] for matrix in matrices], dtype=np.float32
    )
    whole = np.einsum("ijk,ai,bj,ck->abc", draws, *matrices, optimize=True)
    found = smooth_field(np.random.default_rng(seed), shape, spacing)
    np.testing.assert_allclose(found, whole / 0.4794**1.5, atol=1e-4)
    np.testing.assert_allclose(by_planes(shape, field.planes, np.float32), found, atol=1e-5)
    np.testing.assert_allclose(field.planes(slice(1, None)), found[1:], atol=1e-5)


@settings(deadline=None)
@given(
    values=arrays(
        np.float32,
        st.tuples(*(st.integers(1, 12),) * 3),
        elements=st.floats(-100, 100, width=32),
    ),
    sigma=st.floats(0.3, 4.0),
)
def test_blurring_gives_scipys_numbers(values: NDArray[np.float32], sigma: float) -> None:
    for some in (values, values[:, ::-1]):
        expected = ndimage.gaussian_filter(some, sigma)
        np.testing.assert_array_max_ulp(blurred(some, sigma), expected, maxulp=1)


def test_blurring_without_compiled_code_gives_the_same() -> None:
    values = np.random.default_rng(0).standard_normal((5, 700, 6), dtype=np.float32)
    weights = np.array([0.5, 0.2, 0.05])
    np.testing.assert_array_equal(_blurred(values, weights), _blurred.plain(values, weights))


@settings(deadline=None)
@given(arrays(np.bool_, st.tuples(*(st.integers(1, 9),) * 3)), st.integers(0, 728))
def test_distances_are_scipys(mask: NDArray[np.bool_], marked: int) -> None:
    mask.flat[marked % mask.size] = True
    expected = ndimage.distance_transform_edt(~mask)
    np.testing.assert_array_equal(distance_to(mask), expected)
    np.testing.assert_array_equal(_distance.plain(mask), expected)


@settings(deadline=None)
@given(
    field=arrays(np.float32, (2, 3, 4, 5), elements=st.floats(-9, 9, width=32)),
    at=arrays(np.float32, (3, 2, 3, 2), elements=st.floats(-2, 7, width=32)),
)
def test_a_field_is_pulled_as_by_scipy(field: NDArray[np.float32], at: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(pulled(field, at), pulled.plain(field, at), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("slice_mm", "width"), [(1.0, 0.8), (1.0, 5.0), (1.5, 1.5), (3.0, 3.0)])
def test_a_slice_sees_its_slab_and_no_denormal_number(slice_mm: float, width: float) -> None:
    slices = int(181 / slice_mm)
    weights = slice_profile(slices, slice_mm, width)
    assert (weights[weights > 0] > np.finfo(np.float32).tiny).all()
    centres, at = -72 + slice_mm * np.arange(slices), -77 + np.arange(165)
    sigma = max(np.sqrt(max(width**2 - 1, 0)), 0.5) / 2.3548
    seen = centres <= at[-1]
    exact = np.exp(-0.5 * ((at - centres[seen, None]) / sigma) ** 2)
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights[seen], exact, atol=1e-7)
    assert not weights[~seen].any()


@given(arrays(np.bool_, st.tuples(*(st.integers(1, 6),) * 3)))
def test_a_bounding_box_holds_all_that_is_marked_and_no_more(marked: NDArray[np.bool_]) -> None:
    box = bounding_box(marked)
    assert marked[box].sum() == marked.sum()
    for axis in range(3) if marked.any() else ():
        ends = np.moveaxis(marked[box], axis, 0)[[0, -1]]
        assert ends.any(axis=(1, 2)).all()


def test_a_smooth_field_has_the_promised_moments() -> None:
    field = smooth_field(np.random.default_rng(0), (90, 90, 90), 4.0)
    assert abs(float(field.mean())) < 0.05
    assert abs(float(field.std()) - 1) < 0.05
    neighbours = np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1]
    assert neighbours > 0.9


def test_sampling_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((12, 11, 10, 3), dtype=np.float32)
    shift = rng.uniform(-2, 2, (3, 12, 11, 10)).astype(np.float32)
    fill = np.array([7, 8, 9], dtype=np.float32)
    found = sample_maps(maps, shift, 0, -1.0, fill)
    at = np.indices((12, 11, 10)) + shift
    size = np.array([12, 11, 10])[:, None, None, None]
    inside = ((at >= 0) & (np.floor(at) < size - 1)).all(axis=0)
    for channel in range(3):
        expected = ndimage.map_coordinates(maps[..., channel], at, order=1)
        np.testing.assert_allclose(found[channel][inside], expected[inside], atol=1e-5)
        assert (found[channel][~inside] == fill[channel]).all()


def test_upsampling_keeps_the_given_voxels() -> None:
    coarse = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    fine = upsample(coarse, (13, 17, 21), 4)
    np.testing.assert_allclose(fine[::4, ::4, ::4], coarse, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_anatomy_is_never_folded(seed: int) -> None:
    """A diffeomorphism has a positive Jacobian, also with old ventricles and a large mass."""
    rng = np.random.default_rng(seed)
    mass = Mass((30.0, -20.0, 25.0), 9.0)
    moved = subject_displacement(template_anatomy(), rng, atrophy=1.4, variability=1.0, mass=mass)
    gradient = np.stack([np.stack(np.gradient(part, STEP)) for part in moved])
    jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
    assert (np.linalg.det(jacobian) > 0).mean() > 0.9999


@given(st.floats(0.01, 3.0))
@settings(max_examples=20)
def test_the_cut_gives_the_volume_asked_for(volume_ml: float) -> None:
    score = np.random.default_rng(0).random((30, 30, 30), dtype=np.float32)
    allowed = np.ones(score.shape, dtype=bool)
    allowed[:10] = False
    cut = cut_for_volume(score, allowed, volume_ml)
    assert abs((score[allowed] >= cut).sum() - volume_ml * 1000) <= 1


def test_raters_outline_half_covered_voxels_and_pass_over_specks() -> None:
    cover = np.zeros((20, 20, 20), dtype=np.float32)
    cover[4:9, 4:9, 4:9] = 1.0
    cover[10:14, 10:14, 10:14] = 0.05
    cover[16, 16, 16] = 1.0
    inside = np.ones(cover.shape, dtype=bool)
    mask = rate(((cover, 2),), inside, np.random.default_rng(0))
    cover[16, 16, 16] = 0
    np.testing.assert_array_equal(mask > 0, cover == 1)
    assert set(np.unique(mask)) == {0, 2}


def test_a_label_map_is_brought_to_the_template(tmp_path: Path) -> None:
    """Other axes, another place, size and tilt: the fit and the affine undo them."""
    maps = template_anatomy().maps
    labels = np.zeros(WORK_SHAPE, dtype=np.int16)
    labels[maps[..., 0] > 0.5] = 24
    labels[maps[..., 1] > 0.5] = 3
    labels[maps[..., 2] > 0.5] = 2
    labels[maps[..., 4] < 0] = 4
    labels[0, 0, 0] = 514
    tilt = np.deg2rad(6)
    move = np.array(
        [
            [0.93, 0, 0, 4.0],
            [0, 0.95 * np.cos(tilt), -0.95 * np.sin(tilt), -9.0],
            [0, 0.95 * np.sin(tilt), 0.95 * np.cos(tilt), 6.0],
            [0, 0, 0, 1],
        ]
    )
    image = nib.Nifti1Image(labels, move @ work_affine())
    lia = nib.orientations.axcodes2ornt(("L", "I", "A"))
    image = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(image.affine), lia)
    )
    path = tmp_path / "anatomy.nii.gz"
    nib.save(image, path)
    found = label_map_anatomy(path).maps
    assert dice(found[..., 1] + found[..., 2] > 0.5, maps[..., 1] + maps[..., 2] > 0.5) > 0.93
    assert dice(found[..., 2] > 0.5, maps[..., 2] > 0.5) > 0.85


def test_a_label_map_without_a_brain_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(np.full((9, 9, 9), 514, dtype=np.int16), np.eye(4)), path)
    with pytest.raises(UadBenchError, match="no brain labels"):
        label_map_anatomy(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UadBenchError, match="cannot be read"):
        label_map_anatomy(path)


@pytest.mark.slow
@pytest.mark.data
def test_real_anatomies_make_healthy_brains(real_patients: Path) -> None:
    scan = simulate_subject("hi", 1, seed=0, anatomies=real_patients / "anatomies")[0]
    csf, gm, wm = (float(np.median(scan.flair[scan.tissues == label])) for label in (1, 2, 3))
    assert csf < 0.6 * wm < wm < gm


def test_the_command_writes_a_dataset_in_its_layout(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["phantom", str(out), "--datasets", "mslub", "--subjects", "1", "--seed", "5"]) == 0
    (flair,) = out.glob("mslub/**/*FLAIR*.nii.gz")
    written = np.asarray(nib.load(flair).dataobj)
    scan = person("mslub")[0]
    assert written.shape == scan.flair.shape
    assert np.corrcoef(written.ravel(), scan.flair.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--datasets", "mslbu"), "no simulated dataset 'mslbu'; choose from hi"),
        (("--datasets", "hi", "--anatomies", "nowhere"), "no label maps"),
        (("--datasets", "hi"), "is not empty"),
        (("--datasets", "msi,wmh", "--healthy", "2"), "simulated wmh: no healthy people can be"),
        (("--datasets", "msi", "--healthy", "2", "--raw"), "leave out --healthy"),
    ],
)
def test_the_command_refuses_before_it_writes(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "hi").mkdir()
    (tmp_path / "hi" / "mine.txt").write_text("mine")
    assert main(["phantom", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["hi", "mine.txt"]


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_a_list_that_names_no_dataset_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert main(["phantom", str(tmp_path / "out"), "--datasets", text]) == 2
    assert capsys.readouterr().err.startswith("error: --datasets: names nothing; give one")
    assert not (tmp_path / "out").exists()
