"""Thresholding scores by its formula, in the brain of the scan."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata
from skimage.exposure import equalize_hist
from small_methods import brains
from uad_bench.methods.thresholding import Thresholding

from uad_bench.method import Slices

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_raw_thresholding_scores_the_image_inside_the_brain():
    scan = brains(4)
    scan.image[0, 0, 0, 0] = 0.9
    score = Thresholding().score(scan)
    assert np.array_equal(score[scan.brain], scan.image[scan.brain])
    assert (score[~scan.brain] == 0).all()


def test_histogram_equalisation_equals_scikit_image_over_the_brain_of_the_scan():
    scan = brains(4)
    score = Thresholding(Thresholding.Params(variant="histeq")).score(scan)
    expected = equalize_hist(scan.image.astype(np.float64), nbins=256, mask=scan.brain)
    inside = scan.brain
    np.testing.assert_allclose(score[inside], expected[inside], atol=5e-3)
    # an integer cast, as in the published code, would leave a scan in [0, 1] two grey levels
    assert len(np.unique(score)) > 100


def test_the_quantile_variant_is_the_rank_in_the_brain_of_the_scan():
    scan = brains(4)
    score = Thresholding(Thresholding.Params(variant="quantile")).score(scan)
    values = scan.image[scan.brain]
    expected = rankdata(values, method="max") / values.size
    np.testing.assert_allclose(score[scan.brain], expected, rtol=1e-6)


@pytest.mark.parametrize("variant", ["raw", "histeq", "quantile"])
def test_thresholding_survives_a_scan_without_brain(variant):
    scan = brains(2)
    empty = Slices(scan.image, np.zeros_like(scan.brain), scan.z, scan.spacing)
    assert (Thresholding(Thresholding.Params(variant=variant)).score(empty) == 0).all()
