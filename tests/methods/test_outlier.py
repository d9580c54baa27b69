"""The outlier detector finds what is bright for its place, and says nothing of anything else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.ndimage import binary_dilation, binary_erosion
from uad_bench.methods.outlier import Outlier

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import ScoreHistogram, quantise, threshold_at_fpr
from uad_bench.method import FitContext, Slices, TissuePrior
from uad_bench.plugins.conformance import check_method

DEPTH, SIDE = 12, 48
SPACING = (3.0, 3.0, 3.0)
MEAN, SD = np.array([0.2, 0.6, 0.52, 0.0]), np.array([0.05, 0.03, 0.02, 0.0])


def tissues() -> np.ndarray:
    """Labels ``[Z, H, W]``: 0 CSF in the middle, 2 WM around it, 1 GM at the rim, 3 background."""
    z, row, column = np.mgrid[:DEPTH, :SIDE, :SIDE]
    radius = np.hypot((row - 23.5) / 22, (column - 23.5) / 18) + 0.02 * np.abs(z - 5.5)
    return np.select([radius < 0.2, radius < 0.75, radius < 1], [0, 2, 1], 3)


def person(seed: int, gain: float = 1.0, lesion: np.ndarray | None = None) -> Slices:
    """A scan of the same anatomy, with noise of its own, brighter by ``gain``."""
    labels = tissues()
    brain = labels < 3
    image = np.random.default_rng(seed).normal(MEAN[labels], SD[labels]) * gain
    if lesion is not None:
        image = np.where(lesion, image + 0.25, image)
    image = np.where(brain, image, 0).clip(0, 1).astype(np.float32)
    return Slices(image[:, None], brain[:, None], np.arange(DEPTH), SPACING)


def box(*sides: slice) -> np.ndarray:
    found = np.zeros((DEPTH, SIDE, SIDE), bool)
    found[sides] = True
    return found


SPOT = box(slice(5, 7), slice(12, 14), slice(23, 25))
MASS = box(slice(2, 10), slice(8, 20), slice(16, 30))
IN_GM = box(slice(5, 7), slice(4, 6), slice(23, 25))


def people(*scans: Slices) -> Slices:
    image, brain, z = (
        np.concatenate([getattr(scan, of) for scan in scans]) for of in ("image", "brain", "z")
    )
    return Slices(image, brain, z, SPACING)


def atlas() -> TissuePrior:
    mean = (tissues() == np.arange(4)[:, None, None, None]).astype(np.float32)
    return TissuePrior(mean, np.full_like(mean, 0.02), "hand-made")


def fitted(**params) -> Outlier:
    method = Outlier(Outlier.Params(**params))
    train = people(*(person(seed, gain) for seed, gain in ((1, 0.97), (2, 1.0), (3, 1.04))))
    method.fit(train, train, FitContext(0, tissue_prior=atlas()))
    return method


def kept(method: Outlier, scan: Slices) -> np.ndarray:
    """What it calls a lesion, ``[N, H, W]``: everything else scores no more than ``faint_``."""
    return method.score(scan)[:, 0] > np.float32(method.faint_ / 20) + 1e-6


@pytest.fixture(scope="module")
def detector() -> Outlier:
    return fitted()


def test_it_keeps_the_contract_of_a_method():
    assert check_method(Outlier) == []


def test_it_learns_the_median_of_the_training_scans(detector):
    np.testing.assert_allclose(detector.healthy_.mean, MEAN[:3], atol=0.01)
    np.testing.assert_allclose(detector.healthy_.sd, SD[:3], atol=0.012)


def test_it_learns_from_the_first_twenty_scans_and_says_so():
    train = people(*(person(seed, 0.8 if seed < 20 else 1.3) for seed in range(25)))
    method = Outlier()
    report = method.fit(train, train, FitContext(0, tissue_prior=atlas()))
    assert report.slices_seen == 20 * DEPTH
    assert report.notes == ("intensities of 20 scans",)
    np.testing.assert_allclose(method.healthy_.mean[1:], 0.8 * MEAN[1:3], atol=0.01)


@pytest.mark.parametrize("gain", [0.95, 1.0, 1.05])
def test_nothing_is_a_lesion_in_a_healthy_scan(detector, gain):
    assert kept(detector, person(7, gain)).mean() < 1e-4


@pytest.mark.parametrize("lesion", [SPOT, MASS], ids=["a few voxels", "a mass"])
def test_small_and_large_lesions_are_found_and_little_else(detector, lesion):
    found = kept(detector, person(8, 1.0, lesion))
    dice = 2 * (found & lesion).sum() / (found.sum() + lesion.sum())
    assert dice > 0.8


def test_the_dark_core_of_a_mass_is_a_part_of_it_and_a_ventricle_between_its_caps_is_not(detector):
    core, labels = box(slice(3, 9), slice(12, 16), slice(21, 25)), tissues()
    around = np.hypot(*(np.mgrid[:DEPTH, :SIDE, :SIDE][1:] - 23.5)) < 10
    caps = around & (labels == 2)
    scan = person(9, 1.0, (MASS & ~core) | caps)
    found = kept(detector, replace(scan, image=np.where(core[:, None], 0.4, scan.image)))
    assert found[core].all()
    assert found[caps].mean() > 0.9
    assert found[labels == 0].mean() < 0.2


def test_what_is_bright_along_the_surface_of_the_brain_is_no_lesion(detector):
    brain = person(1).brain[:, 0]
    surface = brain & ~binary_erosion(brain, np.ones((1, 3, 3)))
    surface[:, 24:] = False
    scan = person(18, 1.0, surface)
    assert kept(fitted(rim=0.0), scan)[surface].mean() > 0.5
    assert not kept(detector, scan).any()


def test_a_lesion_ends_where_its_blurred_edge_is_half_as_bright():
    edge = binary_dilation(MASS, np.ones((1, 3, 3))) & ~MASS
    scan = person(19, 1.0, MASS)
    blurred = np.where(edge, scan.image[:, 0] + 0.1, scan.image[:, 0]).astype(np.float32)
    scan = replace(scan, image=blurred[:, None])
    ends, flows = (
        kept(method, scan) for method in (fitted(smoothing=0.0), fitted(smoothing=0.0, edge=0.0))
    )
    assert ends[MASS].mean() > 0.98
    assert flows[edge].mean() > 0.6
    assert ends[edge].mean() < 0.5 * flows[edge].mean()


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_threshold_at_a_false_positive_rate_lets_lesions_through_and_nothing_faint(
    detector, rate
):
    healthy = people(*(person(seed, gain) for seed, gain in ((1, 0.97), (2, 1.0), (3, 1.04))))
    scores = np.concatenate([detector.score(scan) for scan in healthy.scans()])
    none = np.zeros(scores.shape, np.uint8)
    threshold = threshold_at_fpr(ScoreHistogram.of(quantise(scores), none, healthy.brain), rate)
    scan = person(8, 1.0, SPOT)
    np.testing.assert_array_equal(
        quantise(detector.score(scan))[:, 0] >= threshold, kept(detector, scan)
    )


def test_what_is_no_lesion_is_ranked_all_the_same_and_on_request_it_is_not(detector):
    scan = person(8, 1.0, SPOT)
    score, found = detector.score(scan)[:, 0], kept(detector, scan)
    assert len(np.unique(score[~found & scan.brain[:, 0]])) > 1_000
    silent = fitted(faint=1.0).score(scan)[:, 0]
    np.testing.assert_array_equal(silent > 0, found)
    np.testing.assert_array_equal(silent[found], score[found])


def test_a_mass_that_fills_much_of_the_grey_matter_does_not_pass_for_it(detector):
    """Nor for broad white matter: what a scan has too much of is held to the healthy spread."""
    scan = person(17)
    row = np.mgrid[:DEPTH, :SIDE, :SIDE][1]
    half = ((row < 22) & scan.brain[:, 0])[:, None]
    uneven = np.random.default_rng(1).normal(0.8, 0.1, scan.image.shape).clip(0, 1)
    scan = replace(scan, image=np.where(half, uneven.astype(np.float32), scan.image))
    assert kept(detector, scan)[half[:, 0]].mean() > 0.9
    assert kept(fitted(shrinkage=0.0), scan)[half[:, 0]].mean() < 0.5


def test_a_spot_is_more_surprising_in_white_matter_than_as_bright_in_grey(detector):
    def peak(lesion: np.ndarray) -> float:
        scan = person(10)
        bright = np.where(lesion[:, None], np.float32(0.8), scan.image)
        return float(detector.score(replace(scan, image=bright))[:, 0][lesion].max())

    assert peak(SPOT) > peak(IN_GM) > 0


def test_the_atlas_is_what_makes_the_place_matter():
    scan = person(11)
    lesion = (SPOT | IN_GM)[:, None]
    bright = replace(scan, image=np.where(lesion, np.float32(0.8), scan.image))
    score = fitted(prior=False, smoothing=0.0).score(bright)[:, 0]
    assert score[SPOT].min() > 0
    np.testing.assert_allclose(score[SPOT], score[IN_GM][0], rtol=1e-5)


def test_a_region_without_a_voxel_of_the_seeds_level_is_no_lesion():
    scan, lesion = person(12, 1.0, SPOT), SPOT[:, None]
    top = 20 * fitted().score(scan)[lesion].max()
    assert kept(fitted(seed_level=top - 0.1), scan)[SPOT].any()
    assert not kept(fitted(seed_level=top + 0.1), scan)[SPOT].any()


def test_a_score_is_the_scans_own(detector):
    """Not of what lies outside the brain, of the reading of the arrays, or of earlier scans."""
    scan = person(13, 1.0, MASS)
    score = detector.score(scan)
    detector.score(person(14, 0.9))
    outside = np.random.default_rng(0).random(scan.image.shape, np.float32)
    strange = replace(scan, image=np.where(scan.brain, scan.image, outside))
    np.testing.assert_array_equal(detector.score(strange), score)
    assert not score[~scan.brain].any()


def test_a_stored_detector_scores_the_same_bits(detector):
    restored = Outlier(detector.params)
    restored.load(load(save(detector.state())))
    scan = person(15, 1.02, SPOT)
    score = detector.score(scan)
    assert score.any()
    np.testing.assert_array_equal(restored.score(scan), score)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_scans_that_tell_nothing_get_finite_scores(detector, level):
    scan = person(16)
    one_voxel = np.zeros_like(scan.brain)
    one_voxel[6, 0, 20, 20] = True
    even = np.full_like(scan.image, level)
    for brain in (scan.brain, one_voxel, np.zeros_like(scan.brain)):
        score = detector.score(replace(scan, image=np.where(brain, even, 0), brain=brain))
        assert score.dtype == np.float32
        assert score.shape == scan.image.shape
        assert np.isfinite(score).all()
        assert not score[~brain].any()
    single = Slices(scan.image[4:5], scan.brain[4:5], scan.z[4:5], SPACING)
    assert not kept(detector, single).any()


def test_without_a_prior_it_is_refused_in_one_line():
    with pytest.raises(UadBenchError, match="outlier: no tissue prior; train on") as caught:
        Outlier().fit(person(1), person(1), FitContext(0))
    assert "\n" not in str(caught.value)


def test_slices_are_cut_into_scans_where_the_atlas_index_does_not_rise():
    scan = person(1)
    whole = people(scan, replace(scan, z=scan.z + 1), Slices(*(
        array[-1:] for array in (scan.image, scan.brain, scan.z)), SPACING), scan)  # fmt: skip
    found = list(whole.scans())
    assert [len(one) for one in found] == [DEPTH, DEPTH, 1, DEPTH]
    np.testing.assert_array_equal(found[1].z, scan.z + 1)
    np.testing.assert_array_equal(found[3].image, scan.image)


def test_listing_the_methods_loads_neither_scikit_image_nor_scipy():
    code = (
        "import sys; from uad_bench.cli import main\n"
        "try: main(['list'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'skimage', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"outlier" in done.stdout
