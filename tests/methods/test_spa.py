"""SPA compares its tissue maps with the prior, and its control does the same without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_methods import SIZE, TINY, brains, fitted, prior, tensors, training
from uad_bench.methods.control_no_prior import ControlNoPrior
from uad_bench.methods.spa import SPA

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Slices
from uad_bench.models.latent.gaussians import Gaussian, divergence
from uad_bench.runner.detectors.params import validated
from uad_bench.training import VALIDATION_SLICES

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_spas_divergence_is_to_the_prior_at_the_slices_place_in_the_atlas():
    healthy = prior()
    healthy.mean[:, 3] = healthy.mean[::-1, 3]
    network = training(SPA, healthy).network
    image, _ = tensors(brains(2))
    latent = network.encode(image)
    z = torch.tensor([0, 3])
    p = Gaussian(torch.from_numpy(healthy.mean)[:, z].transpose(0, 1), torch.tensor(0.02).log())
    expected = divergence(latent.posterior, p)
    found = network.divergence(latent, z)
    torch.testing.assert_close(found, expected.sum(dim=(2, 3)).mean(dim=1), rtol=1e-4, atol=1e-2)
    means = training(SPA, healthy, kl_reduction="mean").network.divergence(latent, z)
    torch.testing.assert_close(means, found / SIZE**2)


def test_spas_variances_start_at_the_floor_and_its_prior_stays_above_it():
    network = training(SPA, var_floor=0.05).network
    posterior = network.encode(tensors(brains(2))[0]).posterior
    assert posterior.log_variance.exp().detach().numpy() == pytest.approx(0.05, rel=1e-5)
    assert network.prior.log_variance.exp().min().item() == pytest.approx(0.05)


def test_spa_shows_its_tissue_maps_and_reconstructs_from_nothing_else():
    method, scan = fitted(SPA), brains(3)
    maps = method.tissues(scan)
    assert maps.shape == (3, 4, SIZE, SIZE)
    assert maps.dtype == np.float32
    assert 0 <= maps.min() <= maps.max() <= 1
    with torch.inference_mode():
        decoded = method.network_.decoder(torch.from_numpy(maps)).numpy() * scan.brain
    np.testing.assert_allclose(decoded, method.reconstruct(scan), atol=1e-5)


@pytest.mark.parametrize("latent", ["sigmoid", "softmax"])
def test_spa_reports_how_far_its_maps_are_from_a_share_of_tissues(latent):
    method, healthy = SPA(SPA.Params(**TINY, latent=latent)), brains(50, seed=1)
    report = method.fit(brains(12), healthy, FitContext(0, tissue_prior=prior()))
    rows = np.linspace(0, 49, VALIDATION_SLICES).round().astype(int)
    seen = Slices(healthy.image[rows], healthy.brain[rows], healthy.z[rows], healthy.spacing)
    expected = np.abs(method.tissues(seen).sum(axis=1) - 1).mean()
    assert report.validation["sum_to_one"] == pytest.approx(expected, abs=1e-7)
    assert (expected < 1e-5) == (latent == "softmax")


def test_spa_without_a_prior_says_so_in_one_line():
    method = SPA(SPA.Params(**TINY))
    with pytest.raises(UadBenchError, match="tissue prior") as caught:
        method.fit(brains(8), brains(4), FitContext(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", [SPA, ControlNoPrior], ids=lambda cls: cls.info.name)
def test_spas_own_loss_is_the_papers_and_another_is_refused_in_one_line(cls):
    with pytest.raises(UadBenchError, match=rf"{cls.info.name}\.loss.*'paper'") as caught:
        validated(cls, {"loss": "native"})
    assert "\n" not in str(caught.value)


def test_the_control_without_prior_is_spa_in_everything_else():
    assert ControlNoPrior.info.control
    assert not ControlNoPrior.info.needs
    assert not ControlNoPrior.objective
    mine, spas = (cls.Params().model_dump() for cls in (ControlNoPrior, SPA))
    assert mine.pop("beta") == 0 < spas.pop("beta")
    assert mine == spas
    control = ControlNoPrior(ControlNoPrior.Params(**TINY))
    report = control.fit(brains(12), brains(6, seed=1), FitContext(0))
    spa = fitted(SPA, beta=0.0)
    assert control.score(brains(3)).tobytes() == spa.score(brains(3)).tobytes()
    assert control.tissues(brains(3)).shape == (3, 4, SIZE, SIZE)
    assert report.validation["kl"] == 0


@pytest.mark.parametrize("beta", [1e-9, -1.0])
def test_the_control_without_prior_refuses_another_beta_in_one_line(beta):
    with pytest.raises(UadBenchError, match=r"control-no-prior\.beta") as caught:
        validated(ControlNoPrior, {"beta": beta})
    assert "\n" not in str(caught.value)
