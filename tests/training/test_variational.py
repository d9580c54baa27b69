"""What a reconstruction learns from: input, target, losses, and their weights."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tiny_method import Tiny, bits, brains, fit

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext
from uad_bench.models.latent.gaussians import Sampler
from uad_bench.models.losses.pixelwise import absolute_error
from uad_bench.runner.detectors.params import validated
from uad_bench.training import VariationalParams


@pytest.mark.parametrize(
    ("corruption", "is_painted"), [("rectangles", True), ("noise", True), ("none", False)]
)
def test_what_is_painted_goes_into_the_input_and_never_into_the_target(
    monkeypatch, corruption, is_painted
):
    seen = []
    original = Tiny.network

    def network(self):
        made = original(self)
        made.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        return made

    monkeypatch.setattr(Tiny, "network", network)
    _, report = fit(corruption=corruption, steps=5)
    brightest = max(image.max().item() for image in seen)
    assert (brightest > 0.85) is is_painted
    assert report.validation["l1"] < 0.5


def test_the_sampler_follows_the_parameters():
    assert VariationalParams(snr=9.0).sampler == Sampler(9.0, "sample")
    assert VariationalParams(reparameterisation="plain").sampler == Sampler(None, "sample")
    assert VariationalParams(norm_scope="batch").sampler == Sampler(16.0, "batch")


def test_the_perceptual_loss_changes_what_is_learnt_and_is_named_in_the_report():
    plain, without = fit(steps=4, perceptual_weight=0.0)
    method, report = fit(steps=4)
    assert bits(method) != bits(plain)
    assert list(method.state()) == list(plain.state())
    assert "no perceptual loss" in without.notes
    assert any(
        re.fullmatch(r"perceptual loss: efficientnet-lite0, SHA-256 [0-9a-f]{64}", note)
        for note in report.notes
    )


def test_the_native_loss_is_trained_and_selects_and_knows_no_smoothness_or_perception():
    plain, native = fit(), fit(loss="native", beta=0.01)
    assert bits(native[0]) != bits(plain[0])
    same, report = fit(loss="native", beta=0.01, tv_weight=3.0, perceptual_weight=2.0)
    assert bits(same) == bits(native[0])
    assert "native loss" in report.notes
    validation = brains(10, seed=1)
    method = fit(loss="native", beta=0.01, corruption="none")
    squares = (validation.image - method[0].reconstruct(validation)) ** 2
    kept = 0.5 * squares.sum(axis=(1, 2, 3)).mean() + 0.01 * method[1].validation["kl"]
    assert min(loss for _, loss in method[1].curves["validation_loss"]) == pytest.approx(kept, 1e-4)


def test_the_weight_of_the_divergence_rises_in_a_straight_line_to_beta():
    params = VariationalParams(beta=0.4, steps=100, warmup=0.2)
    found = [params.beta_at(step) for step in (1, 10, 20, 21, 100)]
    np.testing.assert_allclose(found, [0.02, 0.2, 0.4, 0.4, 0.4])
    assert {VariationalParams(beta=0.4).beta_at(step) for step in (1, 50)} == {0.4}
    for warmup in (-0.1, 1.0):
        with pytest.raises(UadBenchError, match=r"tiny\.warmup"):
            validated(Tiny, {"warmup": warmup})


def test_a_warm_up_changes_the_first_steps_and_states_are_compared_by_the_full_weight():
    losses = {}
    for warmup in (0.0, 0.9):
        seen = []
        method = Tiny(VariationalParams(steps=30, batch_size=4, beta=0.01, warmup=warmup))
        context = FitContext(0, report=lambda _, values, seen=seen: seen.append(values))
        report = method.fit(brains(24), brains(10, seed=1), context)
        losses[warmup] = [v["loss"] - 0.01 * v["kl"] for v in seen]
        kept = report.validation["l1"] + 0.01 * report.validation["kl"]
        assert kept == pytest.approx(min(loss for _, loss in report.curves["validation_loss"]))
    assert losses[0.9][0] < 0 < losses[0.0][0]


def test_without_a_perceptual_loss_its_weights_are_not_asked_for():
    values = {"perceptual_weight": 0.1, "perceptual": "vgg19", "loss": "native"}
    assert not validated(Tiny, values).perceived


def test_vgg19_without_a_file_is_refused_when_the_parameters_are_read():
    with pytest.raises(UadBenchError) as caught:
        validated(Tiny, {"perceptual_weight": 0.1, "perceptual": "vgg19"})
    assert str(caught.value).endswith("perceptual vgg19 needs a weight file: set vgg19_weights")
    assert not VariationalParams(perceptual="vgg19", perceptual_weight=0.0).perceived


def test_a_clean_target_leaves_the_input_as_it_is_and_is_counted(monkeypatch):
    data = brains(24)
    data.image[::2, 0, 15:17, 15:17] = 1.0
    seen, targets = [], []
    original = Tiny.network

    def network(self):
        made = original(self)
        made.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        return made

    def watch(image, reconstruction):
        targets.append(image)
        return absolute_error(image, reconstruction)

    monkeypatch.setattr(Tiny, "network", network)
    monkeypatch.setattr("uad_bench.training.variational.absolute_error", watch)
    _, report = fit(train=data, clean_target=True, corruption="none", steps=6, batch_size=4)
    assert max(image.max().item() for image in seen) == 1.0
    assert max(image.max().item() for image in targets) < 0.9
    # 6 x 4 slices are the whole dataset once, of which half have a spot of 4 pixels
    assert "target cleaned of 48 pixels in 12 of 24 slices drawn" in report.notes


def test_on_slices_without_outliers_a_clean_target_changes_no_bit():
    data = brains(24)
    pairs = zip(data.image, data.brain, strict=True)
    assert all(image.max() < np.median(image[brain]) + 3 * 0.08 for image, brain in pairs)
    method, report = fit(train=data, clean_target=True)
    assert bits(method) == bits(fit(train=data)[0])
    assert "target cleaned of 0 pixels in 0 of 80 slices drawn" in report.notes
