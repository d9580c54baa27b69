"""Methods that train a network on features: their mathematics, and that they learn."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from sklearn.metrics import average_precision_score
from torch.utils._python_dispatch import TorchDispatchMode
from uad_bench.methods.fae import FAE
from uad_bench.methods.rd4ad import RD4AD

from uad_bench.method import FitContext, Slices
from uad_bench.models.batches import Batch
from uad_bench.models.features.autoencoder import FeatureAutoencoder
from uad_bench.models.features.distillation import Student
from uad_bench.models.losses.ssim import ssim
from uad_bench.training.feature_method import mean_inside

EVERY = (FAE, RD4AD)
HEIGHT, WIDTH = 64, 48


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def slices(count: int, seed: int = 0) -> Slices:
    """Brains of one shape, with a dark middle and some noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.hypot((row - HEIGHT / 2) / 30, (column - WIDTH / 2) / 22)
    tissue = np.select([radius < 0.3, radius < 0.7], [0.2, 0.5], 0.6)
    image = (tissue + rng.normal(0, 0.03, (count, 1, HEIGHT, WIDTH))).clip(0, 1) * (radius < 1)
    brain = np.broadcast_to(radius < 1, image.shape).copy()
    return Slices(image.astype(np.float32), brain, np.arange(count) % 6, (3.0, 2.0, 2.0))


def batch(scan: Slices) -> Batch:
    return Batch.read(scan, np.arange(len(scan)), torch.device("cpu"))


@cache
def fitted(cls, steps: int):
    small = {"width": 16} if cls is FAE else {}
    method = cls(cls.Params(steps=steps, **small))
    report = method.fit(slices(12), slices(4, 1), FitContext(0))
    method.calibrate(slices(4, 1), FitContext(0))
    return method, report


@pytest.mark.parametrize(("window", "sigma"), [(5, 0.6), (11, 1.5)])
def test_similarity_is_that_of_scikit_image(window, sigma):
    # which cuts its Gaussian off at 3.5 standard deviations
    one, other = drawn(1, 2, 40, 32), drawn(1, 2, 40, 32, seed=1)
    found = ssim(one, other, window, sigma)[0].numpy()
    for channel in range(2):
        _, wanted = structural_similarity(
            one[0, channel].numpy(), other[0, channel].numpy(), data_range=1.0, full=True,
            gaussian_weights=True, sigma=sigma, use_sample_covariance=False,
        )  # fmt: skip
        inner = slice(window, -window)
        np.testing.assert_allclose(found[channel, inner, inner], wanted[inner, inner], atol=1e-5)


def test_similarity_of_equal_signals_is_1_and_does_not_depend_on_the_memory_format():
    one = drawn(2, 3, 16, 12)
    torch.testing.assert_close(ssim(one, one), torch.ones_like(one))
    other = drawn(2, 3, 16, 12, seed=1)
    strided = other.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ssim(one, strided), ssim(other, one))


def test_similarity_is_computed_in_float32_where_the_loss_is_in_bfloat16():
    """Its variances are differences between numbers that are alike: 8 bits leave nothing."""
    smooth = torch.nn.functional.avg_pool2d(drawn(2, 3, 40, 36), 9, stride=1)
    other = smooth + 0.002
    expected = ssim(smooth, other)
    assert expected.min() > 0.99
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ssim(smooth, other), expected)
        rounded = ssim(smooth, other.bfloat16())
    assert rounded.dtype == torch.float32
    assert rounded.abs().max() < 1.001


class Scattered(TorchDispatchMode):
    """Refuses what a GPU adds up in any order, with other bits each time."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert "scatter" not in func._schema.name, func
        return func(*args, **(kwargs or {}))


def test_similarity_has_the_same_bits_each_time_on_a_gpu_too():
    with Scattered():
        ssim(drawn(1, 2, 16, 12), drawn(1, 2, 16, 12, seed=1))


def test_a_mean_inside_counts_places_that_are_mostly_brain():
    brain = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    brain[0, :, :4, :2] = True  # half of one place
    assert mean_inside(drawn(2, 2, 2), brain).tolist() == [drawn(2, 2, 2)[0, 0, 0].item(), 0]


@pytest.mark.parametrize("size", [(32, 32), (18, 10)])
def test_networks_give_back_the_size_that_they_were_given(size):
    features = drawn(2, 6, *size)
    assert FeatureAutoencoder(6, 4, 0.1)(features).shape == features.shape
    layers = [drawn(2, c, -(-size[0] // s), -(-size[1] // s)) for c, s in ((3, 1), (4, 2), (5, 4))]
    assert [one.shape for one in Student((3, 4, 5))(layers)] == [one.shape for one in layers]


def test_filters_are_left_out_by_the_generator_alone():
    network, features = FeatureAutoencoder(6, 4, 0.5), drawn(2, 6, 16, 16)
    network.eval()
    draws = [network(features, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(network(features), network(features))


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_training_moves_the_network_and_leaves_the_backbone_as_it_was(cls):
    scan = slices(4)
    method = cls(cls.Params(steps=1))
    before = method.layers(batch(scan))
    method, _ = fitted(cls, steps=2)
    after = method.layers(batch(scan))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not any(layer.requires_grad for layer in after)


def test_fae_compares_features_in_the_range_that_the_constants_of_ssim_are_for():
    method, _ = fitted(FAE, steps=2)
    parts = torch.cat([patches for patches, _, _ in method.patches(slices(12))])
    seen = 0.5 + parts / 6
    assert 0.9 < ((seen > 0) & (seen < 1)).float().mean() < 1
    assert seen.mean().item() == pytest.approx(0.5, abs=1e-3)


def test_rd4ad_compares_each_place_on_its_own():
    method, _ = fitted(RD4AD, steps=2)
    given = batch(slices(2))
    teacher = method.normaliser_.each(method.layers(given))
    student = method.student_(teacher)
    found = method.disagreement(given)
    assert [one.shape[1:] for one in found] == [(16, 12), (8, 6), (4, 3)]
    for layer, one, other in zip(found, teacher, student, strict=True):
        a, b = one[1, :, 2, 1].double(), other[1, :, 2, 1].double()
        wanted = 1 - (a @ b / (a.norm() * b.norm())).item()
        assert layer[1, 2, 1].item() == pytest.approx(wanted, abs=1e-5)
    assert method.distance(given).shape == (2, 16, 12)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_training_finds_lesions_better_than_no_training_and_than_chance(cls):
    scan = slices(6, seed=2)
    lesion = np.zeros_like(scan.brain)
    lesion[:, :, 16:26, 18:28] = True
    scan.image[lesion] = 0.95
    precision, losses = [], []
    for steps in (1, 30):
        method, report = fitted(cls, steps)
        score = method.score(scan)
        precision.append(average_precision_score(lesion[scan.brain], score[scan.brain]))
        losses.append(min(value for _, value in report.curves["validation_loss"]))
    assert losses[1] < losses[0]
    assert precision[1] > max(precision[0], 3 * lesion[scan.brain].mean())
    assert np.median(score[lesion]) > np.quantile(score[scan.brain & ~lesion], 0.9)
