"""Generators and critics: the loss between them, what is frozen, and what collapses."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from uad_bench.methods.caae import CAAE
from uad_bench.methods.fanogan import FAnoGAN

from uad_bench.errors import DivergenceError
from uad_bench.method import FitContext, Slices
from uad_bench.models.adversarial import (
    PENALTY_WEIGHT,
    Critic,
    critic_loss,
    gradient_penalty,
)
from uad_bench.models.batches import Batch
from uad_bench.plugins.conformance import check_method
from uad_bench.training import Turn
from uad_bench.training.loop.collapse import refuse_collapse

TINY = {"width": 2, "steps": 3, "batch_size": 4, "latent": 8, "critic_turns": 2}
EVERY = (FAnoGAN, CAAE)


def slices(count: int, seed: int = 0) -> Slices:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0.2, 0.8, (count, 1, 16, 24)).astype(np.float32)
    return Slices(image, np.ones(image.shape, bool), np.arange(count), (3.0, 2.0, 2.0))


def batch(count: int = 4) -> Batch:
    return Batch.read(slices(count), np.arange(count), torch.device("cpu"))


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Linear(nn.Module):
    """A critic whose slope is the same everywhere."""

    def __init__(self, slope: torch.Tensor) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image * self.slope).flatten(1).sum(dim=1, keepdim=True)


@pytest.mark.parametrize(
    "cls", [pytest.param(FAnoGAN, marks=pytest.mark.slow), CAAE], ids=lambda cls: cls.info.name
)
def test_every_method_keeps_the_contract(cls):
    assert check_method(cls) == []


def test_the_penalty_takes_the_norm_over_every_axis_of_a_sample():
    slope = torch.randn(1, 5, 7, generator=source())
    real, fake = torch.rand(2, 3, 1, 5, 7, generator=source(1)).unbind()
    found = gradient_penalty(Linear(slope), real, fake, source())
    expected = (slope.norm() - 1).square()
    torch.testing.assert_close(found, expected.expand(3))


def test_the_penalty_is_taken_at_a_place_of_each_samples_own():
    # the slope of sum x^2 is 2 x: between zeros and ones it says where on the way it was taken
    class Square(nn.Module):
        def forward(self, image):
            return image.square().flatten(1).sum(dim=1, keepdim=True)

    real, fake = torch.ones(64, 1, 2, 2), torch.zeros(64, 1, 2, 2)
    found = gradient_penalty(Square(), real, fake, source())
    place = torch.rand(64, 1, 1, 1, generator=source()).flatten()
    torch.testing.assert_close(found, (4 * place - 1).square())
    assert len(found.unique()) > 60


def test_the_critics_loss_is_its_gap_and_ten_penalties():
    critic = Critic((16, 24), 2)
    real, fake = torch.rand(2, 4, 1, 16, 24, generator=source(1)).unbind()
    made = fake.clone().requires_grad_()
    found = critic_loss(critic, real, made, source())
    penalty = gradient_penalty(critic, real, fake, source()).mean()
    expected = critic(fake).mean() - critic(real).mean() + PENALTY_WEIGHT * penalty
    torch.testing.assert_close(found, expected)
    found.backward()
    assert made.grad is None
    assert all(weight.grad is not None for weight in critic.parameters())


def test_a_critic_sees_each_slice_alone():
    critic, images = Critic((16, 24), 2), torch.rand(5, 1, 16, 24, generator=source())
    torch.testing.assert_close(critic(images)[3:4], critic(images[3:4]))


def test_one_slice_for_every_draw_is_a_collapse():
    healthy = torch.rand(8, 1, 16, 24, generator=source())
    refuse_collapse(healthy * 0.5, healthy)
    for made in (healthy[:1].expand(8, -1, -1, -1), healthy * 0.05, healthy * torch.nan):
        with pytest.raises(DivergenceError, match="collapsed"):
            refuse_collapse(made, healthy)


def test_brains_that_differ_in_shape_do_not_hide_a_collapse():
    healthy = torch.rand(8, 1, 16, 24, generator=source())
    brain = torch.rand(healthy.shape, generator=source(1)) < 0.5
    one = healthy[:1] * brain
    refuse_collapse(one, healthy * brain)
    with pytest.raises(DivergenceError, match="collapsed"):
        refuse_collapse(one, healthy * brain, brain=brain)
    refuse_collapse(healthy * 0.2 * brain, healthy * brain, brain=brain)


def test_a_collapse_ends_the_training(monkeypatch):
    method = FAnoGAN(FAnoGAN.Params(**TINY))
    build = FAnoGAN.build

    def constant(self):
        build(self)
        nn.init.zeros_(self.generator_.dense.weight)
        self.generator_.dense.weight.requires_grad_(False)

    monkeypatch.setattr(FAnoGAN, "build", constant)
    with pytest.raises(DivergenceError, match="collapsed"):
        method.fit(slices(12), slices(6, 1), FitContext(0))


def test_an_autoencoder_that_makes_one_slice_of_all_is_named(monkeypatch):
    monkeypatch.setattr(CAAE, "reconstruct", lambda self, scan: 0.5 * scan.brain.astype("float32"))
    with pytest.raises(DivergenceError, match="the network collapsed"):
        CAAE(CAAE.Params(**TINY)).fit(slices(12), slices(6, 1), FitContext(0))


def test_the_encoder_is_trained_alone_after_the_others(monkeypatch):
    kept = {}
    refuse = FAnoGAN._refuse_collapse

    def watch(self, validation, context):
        refuse(self, validation, context)
        kept.update(
            {
                name: copy.deepcopy(getattr(self, name).state_dict())
                for name in ("encoder_", "generator_", "critic_")
            }
        )

    monkeypatch.setattr(FAnoGAN, "_refuse_collapse", watch)
    method = FAnoGAN(FAnoGAN.Params(**TINY))
    report = method.fit(slices(12), slices(6, 1), FitContext(0))

    def same(name):
        now = getattr(method, name).state_dict()
        return {key: torch.equal(now[key], value) for key, value in kept[name].items()}

    weights = {name: same(name) for name in kept}
    assert all(weights["critic_"].values())
    assert all(found for key, found in weights["generator_"].items() if "running" not in key)
    assert not weights["encoder_"]["dense.weight"]
    assert report.steps == 2 * TINY["steps"]
    assert report.slices_seen == TINY["batch_size"] * TINY["steps"] * (TINY["critic_turns"] + 2)


def test_the_generators_statistics_are_those_of_its_own_training():
    method = FAnoGAN(FAnoGAN.Params(**TINY))
    method.fit(slices(12), slices(6, 1), FitContext(0))
    again = FAnoGAN(FAnoGAN.Params(**{**TINY, "kappa": 5.0}))
    again.fit(slices(12), slices(6, 1), FitContext(0))
    first, second = (one.generator_.state_dict() for one in (method, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_encoders_loss_looks_at_slices_and_at_what_the_critic_sees():
    method = FAnoGAN(FAnoGAN.Params(**TINY, kappa=0.5))
    method.fit(slices(12), slices(6, 1), FitContext(0))
    given = batch()
    from uad_bench.methods.fanogan import _Encoding

    found = _Encoding(method).loss(given, Turn("encoder", 1, source()))
    made = method.reconstruct_batch(given)
    seen = [method.critic_.features(image) for image in (given.image, made)]
    expected = (given.image - made).square().mean() + 0.5 * (seen[0] - seen[1]).square().mean()
    torch.testing.assert_close(found.value, expected)


def test_the_latent_of_a_reconstruction_is_held_to_that_of_its_slice():
    method = CAAE(CAAE.Params(**TINY, rho=0.5))
    method.fit(slices(12), slices(6, 1), FitContext(0))
    given, training = batch(), method.trainable(FitContext(0))
    found = training.loss(given, Turn("autoencoder", 1, source()))
    latent = method.encoder_(given.image)
    made = method.decoder_(latent)
    apart = (method.encoder_(made) - latent).square().mean()
    expected = (given.image - made).square().mean() + 0.5 * apart
    torch.testing.assert_close(found.value, expected)
    against = training.loss(given, Turn("encoder", 1, source())).value
    torch.testing.assert_close(against, -method.critic_(latent).mean())


@pytest.mark.slow
@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_learning_brings_it_nearer_to_healthy_slices(cls):
    rng = np.random.default_rng(0)
    # healthy slices: one brain, brighter or darker
    row, column = np.mgrid[:16, :24]
    shape = np.exp(-(((row - 8) / 6) ** 2) - ((column - 12) / 8) ** 2)
    image = shape * rng.uniform(0.6, 0.9, (40, 1, 1, 1))
    many = Slices(
        image.astype(np.float32), np.ones(image.shape, bool), np.arange(40), (3.0, 2.0, 2.0)
    )
    few = {**TINY, "width": 4, "learning_rate": 3e-3}
    errors = []
    for steps in (1, 200):
        method = cls(cls.Params(**{**few, "steps": steps}))
        try:
            errors.append(method.fit(many, many, FitContext(0)).validation["l1"])
        except DivergenceError:
            errors.append(np.inf)  # a generator that has learned nothing makes one slice
    assert errors[1] < 0.5 * min(errors[0], 0.3)
