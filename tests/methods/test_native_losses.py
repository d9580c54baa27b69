"""With its native loss a method is trained by the likelihood of its paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_methods import batch, brains, fitted, tensors, training
from uad_bench.methods.dae import DAE
from uad_bench.methods.gmvae import GMVAE
from uad_bench.methods.vae import VAE

from uad_bench.models.latent.gaussians import Gaussian

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_the_native_losses_are_those_of_the_methods():
    healthy = brains(3)
    image, z = tensors(healthy)
    brain = torch.from_numpy(healthy.brain)
    mean, spread = torch.full_like(image, 0.3), torch.full_like(image, -4.0)
    squares = (image - mean).square() * brain
    for cls, log_variance, expected in (
        (VAE, torch.zeros_like(mean), 0.5 * squares.sum(dim=(1, 2, 3))),
        (GMVAE, spread, (0.5 * squares * np.exp(4.0) - 2.0 * brain).sum(dim=(1, 2, 3))),
    ):
        network = training(cls, loss="native").network
        misfit = network.misfit(image, Gaussian(mean, log_variance), brain)
        torch.testing.assert_close(misfit, expected, rtol=1e-4, atol=1e-4)
        variance = network(image, z)[0].log_variance
        assert (variance.std() > 0).item() is (cls is GMVAE)
        assert variance.max() <= 0
    dae = training(DAE, loss="native", corruption="none")
    dae.network = lambda image: torch.full_like(image, 0.3)
    metrics = dae.validate(batch(healthy), torch.Generator())
    torch.testing.assert_close(
        metrics["misfit"], squares.sum(dim=(1, 2, 3)) / brain.sum(dim=(1, 2, 3))
    )
    assert dae.judge({"l1": 1.0, "misfit": 2.0}) == 2.0


def test_the_gmvaes_decoder_clips_its_standard_deviation_as_published():
    network = training(GMVAE, loss="native").network.eval()
    image, z = tensors(brains(2))
    for bias, deviation in ((-1e3, 1.0), (1e3, 1e-8), (4.0, np.exp(-2.0))):
        torch.nn.init.zeros_(network.log_precision.weight)
        torch.nn.init.constant_(network.log_precision.bias, bias)
        predicted = network(image, z)[0]
        found = (0.5 * predicted.log_variance).exp().detach().numpy()
        assert found == pytest.approx(deviation, rel=1e-4)
        assert torch.equal(predicted.mean, network.decode(network.encode(image)))


@pytest.mark.parametrize("cls", [VAE, GMVAE, DAE], ids=lambda cls: cls.info.name)
def test_a_detector_with_its_native_loss_trains_and_loads(cls):
    method, scan = fitted(cls, loss="native"), brains(4, seed=2)
    restored = cls(method.params)
    restored.load(method.state())
    assert restored.score(scan).tobytes() == method.score(scan).tobytes()
