"""ceVAE: what its second branch must give back, and what its two other scores are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from uad_bench.methods.cevae import CEVAE
from uad_bench.methods.cevae_combined import CEVAECombined
from uad_bench.methods.cevae_gradient import CEVAEGradient
from uad_bench.methods.vae import VAE

from uad_bench.method import FitContext, Slices
from uad_bench.models.batches import Batch
from uad_bench.models.corruption.self_supervision import cut_squares
from uad_bench.models.scores import bounded, typical
from uad_bench.runner.detectors.params import shared_params
from uad_bench.training import Turn

TINY = {"width": 2, "steps": 2, "batch_size": 2, "perceptual_weight": 0.0}


def slices(count: int, seed: int = 0) -> Slices:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0.2, 0.8, (count, 1, 32, 32)).astype(np.float32)
    brain = np.ones(image.shape, bool)
    brain[..., :2] = False
    image[~brain] = 0
    return Slices(image, brain, np.arange(count), (3.0, 2.0, 2.0))


def batch(count: int = 4) -> Batch:
    return Batch.read(slices(count), np.arange(count), torch.device("cpu"))


def squares(count: int, seed: int = 0) -> torch.Tensor:
    """What was cut out of slices of one grey level, -1, which no draw hits."""
    image = torch.full((count, 1, 32, 32), -1.0)
    brain = torch.ones_like(image, dtype=torch.bool)
    return cut_squares(image, brain, torch.Generator().manual_seed(seed))[:, 0]


def test_none_to_three_squares_are_cut_each_as_often():
    cut = squares(2000) != -1
    empty = (~cut.flatten(1).any(dim=1)).float().mean().item()
    assert empty == pytest.approx(0.25, abs=0.04)
    assert cut.float().mean(dim=(1, 2)).max() <= 3 / 4
    assert max(ndimage.label(one.numpy())[1] for one in cut[:200]) <= 3
    assert cut.any(dim=0).all(), "every pixel can be cut"


def test_a_square_is_a_square_of_up_to_half_the_side():
    sides = []
    for one in squares(500, seed=1).numpy():
        values = np.setdiff1d(one, -1)
        if len(values) == 1:  # one square
            (part,) = ndimage.find_objects((one == values[0]).astype(int))
            assert (one[part] == values[0]).all()
            sides.append([edge.stop - edge.start for edge in part])
    assert len(sides) > 50
    height, width = np.array(sides).T
    assert np.abs(height - width).max() <= 1
    assert max(height.max(), width.max()) <= 17


def test_only_the_brain_is_cut_and_the_input_stays():
    given = batch()
    before = given.image.clone()
    cut = cut_squares(given.image, given.brain, torch.Generator().manual_seed(2))
    assert torch.equal(given.image, before)
    assert torch.equal(cut[~given.brain], before[~given.brain])
    assert not torch.equal(cut, before)


def loss_of(cls, **params) -> dict[str, float]:
    method = cls(cls.Params(**TINY, corruption="none", **params))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method.build()
    found = method.trainable(FitContext(0)).loss(
        batch(), Turn("network", 1, torch.Generator().manual_seed(0))
    )
    return {"loss": found.value.item(), **{k: v.item() for k, v in found.parts.items()}}


def test_without_the_second_branch_it_is_the_vae():
    assert loss_of(CEVAE, ce_factor=0.0)["loss"] == pytest.approx(loss_of(VAE)["loss"], rel=1e-6)


def test_the_loss_is_the_weighted_sum_of_both_branches():
    whole = loss_of(VAE)["loss"]
    both = loss_of(CEVAE, ce_factor=0.25)
    assert both["loss"] == pytest.approx(0.75 * whole + 0.25 * both["ce"], rel=1e-5)


def test_the_second_branch_must_give_back_the_whole_slice(monkeypatch):
    method = CEVAE(CEVAE.Params(**TINY))
    method.build()
    given = batch()
    # a network that copies: what was cut out is all that it gets wrong
    monkeypatch.setattr(method.network_, "encode", lambda image, generator=None: image)
    monkeypatch.setattr(method.network_, "decode", lambda image: image)
    monkeypatch.setattr(method.network_, "divergence", lambda latent, z: torch.zeros(len(z)))
    generator = torch.Generator().manual_seed(0)
    found = method.trainable(FitContext(0)).loss(given, Turn("network", 1, generator))
    cut = cut_squares(given.image, given.brain, torch.Generator().manual_seed(0))
    expected = (cut - given.image).abs().mean().item()
    assert expected > 0
    assert found.parts["ce"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("preset", ["", *CEVAE.info.presets])
def test_the_scores_by_gradient_share_one_training_whose_divergence_counts(preset: str) -> None:
    def given(cls):
        return cls.Params(**cls.info.presets[preset] if preset else {})

    gradient, combined = given(CEVAEGradient), given(CEVAECombined)
    assert shared_params(CEVAE, gradient) == shared_params(CEVAE, combined)
    assert gradient.reparameterisation == "plain"
    assert gradient.beta == 1e-3
    assert given(CEVAE).reparameterisation == "snr", "the reconstruction keeps its own"


@pytest.fixture(scope="module")
def scored():
    made = {}
    for cls in (CEVAEGradient, CEVAECombined):
        method = cls(cls.Params(**TINY))
        method.fit(slices(6), slices(4, seed=1), FitContext(0))
        method.calibrate(slices(4, seed=1), FitContext(0))
        made[cls] = method
    return made


def test_the_gradient_is_that_of_finite_differences(scored):
    method = scored[CEVAEGradient]
    network = method.network_.double()
    image = torch.from_numpy(slices(1).image).double()
    z = torch.zeros(1, dtype=torch.int64)

    def divergence(values):
        return network.divergence(network.encode(values), z).sum().item()

    exact = np.zeros((32, 32))
    with torch.no_grad():
        for row, column in ((5, 9), (16, 16), (30, 4)):
            step = torch.zeros_like(image)
            step[0, 0, row, column] = 1e-5
            exact[row, column] = (divergence(image + step) - divergence(image - step)) / 2e-5
    values = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network.divergence(network.encode(values), z).sum(), values)
    for row, column in ((5, 9), (16, 16), (30, 4)):
        assert gradient[0, 0, row, column].item() == pytest.approx(exact[row, column], rel=1e-4)
    method.network_.float()
    given = batch(1)
    smooth = method.smoothed_gradient(given)[0, 0]
    # a mean filter of side 8 has no middle pixel: three before and four after
    flat = ndimage.uniform_filter(np.abs(gradient[0, 0].numpy()), 8, mode="nearest", origin=-1)
    np.testing.assert_allclose(smooth.numpy(), flat, rtol=1e-3, atol=1e-9)


def test_the_combined_score_is_the_product_and_keeps_its_order(scored):
    method, scan = scored[CEVAECombined], slices(3, seed=4)
    residual = scan.image - method.reconstruct(scan)
    raw = np.concatenate(
        [
            method.smoothed_gradient(Batch.read(scan, np.array([row]), torch.device("cpu"))).numpy()
            for row in range(3)
        ]
    )
    raw = raw * residual**2 * scan.brain
    np.testing.assert_allclose(method.score(scan), bounded(raw, method.scale_), rtol=1e-4)
    inside = scan.brain
    order = np.argsort(raw[inside], kind="stable")
    assert (np.diff(method.score(scan)[inside][order]) >= -1e-7).all()


def test_bounded_scores_keep_order_and_never_saturate():
    raw = np.geomspace(1e-9, 1e9, 1000).astype(np.float32)
    found = bounded(raw, typical(raw))
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] < found[-1] <= 1
    assert bounded(np.zeros(3, np.float32), typical(np.zeros(3, np.float32))).max() == 0
