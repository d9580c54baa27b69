"""The U-Net learns what its masks mark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from uad_bench.methods.unet import SupervisedUNet

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Slices


def painted(seed: int, count: int) -> Slices:
    """Discs of noise: lesions are a texture of any brightness, which no threshold finds."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:32, :32] - 15.5
    brain = np.broadcast_to(np.hypot(row, column) < 14, (count, 1, 32, 32)).copy()
    image = np.full(brain.shape, 0.5) + rng.normal(0, 0.02, brain.shape)
    lesion = np.zeros(brain.shape, np.uint8)
    stripes = 0.2 * (-1.0) ** np.arange(32)
    for at in range(count):
        top, left = rng.integers(8, 18, 2)
        lesion[at, 0, top : top + 6, left : left + 6] = 1
    image = np.where(lesion == 1, image + stripes, image)
    image = np.where(brain, image.clip(0, 1), 0).astype(np.float32)
    return Slices(image, brain, np.arange(count), (1.0, 1.0, 1.0), lesion)


def test_the_unet_learns_what_its_masks_mark():
    train, validation, test = (painted(seed, count) for seed, count in ((0, 24), (1, 6), (2, 8)))
    blind = replace(test, lesion=None)
    found = {}
    for steps in (1, 60):
        unet = SupervisedUNet(SupervisedUNet.Params(width=4, steps=steps, learning_rate=0.01))
        report = unet.fit(train, validation, FitContext(seed=0))
        score = unet.score(blind)
        assert set(report.validation) == {"dice_cross_entropy"}
        truth = test.lesion[test.brain] == 1
        found[steps] = average_precision_score(truth, score[test.brain])
    chance, bright = truth.mean(), average_precision_score(truth, test.image[test.brain])
    assert found[60] > 0.8 > max(found[1], bright, chance)
    assert score[test.lesion == 1].mean() > score[(test.lesion == 0) & test.brain].mean()
    with pytest.raises(UadBenchError, match="lesion masks"):
        unet.fit(replace(train, lesion=None), validation, FitContext(seed=0))
