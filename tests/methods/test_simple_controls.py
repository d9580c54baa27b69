"""Black and mean control score by their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from small_methods import DEPTH, brains
from uad_bench.methods.control_black import ControlBlack
from uad_bench.methods.control_mean import ControlMean

from uad_bench.method import FitContext

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_the_black_control_scores_the_image():
    scan = brains(3)
    assert np.array_equal(ControlBlack().score(scan), scan.image)


def test_the_mean_control_averages_the_people_in_whose_brain_a_voxel_lies():
    train, scan = brains(13), brains(6, seed=2)
    method = ControlMean()
    method.fit(train, scan, FitContext(0))
    reconstruction = method.reconstruct(scan)
    for row, z in enumerate(scan.z):
        here = train.z == z
        brain = train.brain[here, 0]
        weight = np.maximum(brain.sum(axis=0), 1)
        mean = np.where(brain, train.image[here, 0], 0).sum(axis=0) / weight
        expected = np.where(scan.brain[row, 0], mean, 0)
        np.testing.assert_allclose(reconstruction[row, 0], expected, atol=1e-6)


def test_the_mean_control_takes_the_nearest_slice_where_training_has_none():
    train = brains(6)
    method = ControlMean()
    method.fit(train, train, FitContext(0))
    near, far = brains(1, seed=3), brains(1, seed=3)
    near.z[:], far.z[:] = DEPTH - 1, DEPTH + 40
    assert np.array_equal(method.reconstruct(near), method.reconstruct(far))
