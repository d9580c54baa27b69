"""A latent's divergence, its draws and its parameters are those that the papers give."""

from __future__ import annotations

import pytest
import torch
from small_methods import LATENT, SIZE, brains, fitted, tensors, training
from uad_bench.methods.control_no_prior import ControlNoPrior
from uad_bench.methods.gmvae import GMVAE
from uad_bench.methods.vae import VAE

from uad_bench.cli import main
from uad_bench.method import search_space
from uad_bench.models.latent.gaussians import divergence_from_standard

pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_deep_methods_are_tuned_in_beta_and_snr_from_the_papers_values(cls):
    space = search_space(cls.Params)
    assert set(space) == {"beta", "snr"}
    assert cls.info.first_trial == {"beta": 1e-3, "snr": 16.0}
    for name, value in cls.info.first_trial.items():
        assert space[name].low <= value <= space[name].high


@pytest.mark.parametrize("cls", [*LATENT, ControlNoPrior], ids=lambda cls: cls.info.name)
def test_divergences_of_a_slice_do_not_depend_on_its_batch(cls):
    network = training(cls).network.eval()
    image, z = tensors(brains(5))
    together = network(image, z)[1]
    alone = torch.cat([network(image[i : i + 1], z[i : i + 1])[1] for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-3)


def test_the_vaes_divergence_is_summed_over_its_latent():
    network = fitted(VAE).network_
    latent = network.encode(tensors(brains(2))[0])
    expected = divergence_from_standard(latent.posterior).flatten(1).sum(dim=1)
    torch.testing.assert_close(network.divergence(latent, torch.zeros(2)), expected)
    assert latent.draw.shape == (2, 16, SIZE // 8, SIZE // 8)


def test_the_gmvae_has_spatial_latents_and_its_options_reach_the_divergence():
    values = []
    for params in ({}, {"legacy_pc": True}, {"c_lambda": 3.0}):
        network = training(GMVAE, **params).network
        torch.manual_seed(0)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        latent = network.encode(tensors(brains(2))[0], torch.Generator().manual_seed(0))
        assert latent.w_draw.shape == (2, 1, SIZE // 8, SIZE // 8)
        assert latent.z_draw.shape == (2, 8, SIZE // 8, SIZE // 8)
        values.append(network.divergence(latent, torch.zeros(2))[0].item())
    assert len(set(values)) == 3


@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_sampling_is_off_by_default_and_changes_the_score(cls):
    assert cls.Params().n_samples == 0
    method, scan = fitted(cls), brains(4, seed=2)
    drawn = cls(method.params.model_copy(update={"n_samples": 2}))
    drawn.load(method.state())
    score = drawn.score(scan)
    assert score.tobytes() == drawn.score(scan).tobytes() != method.score(scan).tobytes()
    assert 0 <= score.min() <= score.max() <= 1


@pytest.mark.parametrize(
    "fault", ["beta=-1e-9", "snr=0", "snr=-4", "n_samples=-1", "warmup=1", "corruption=holes"]
)
@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_a_value_that_means_nothing_is_one_line_and_exit_code_2(cls, fault, capsys):
    name = cls.info.name
    arguments = ["run", "--methods", name, "--datasets", "mslub", "--dry-run"]
    assert main([*arguments, "--param", f"{name}.{fault}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --param {name}.{fault.partition('=')[0]}: Input should be")
