"""Every built-in method keeps its contract and sees a bright lesion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_methods import DEEP, batch, brains, fitted, prior, training
from uad_bench.methods.cevae_combined import CEVAECombined
from uad_bench.methods.cevae_gradient import CEVAEGradient
from uad_bench.methods.control_black import ControlBlack
from uad_bench.methods.control_mean import ControlMean
from uad_bench.methods.control_no_prior import ControlNoPrior
from uad_bench.methods.dae import DAE
from uad_bench.methods.gmvae import GMVAE
from uad_bench.methods.gmvae_restoration import GMVAERestoration
from uad_bench.methods.spa import SPA
from uad_bench.methods.thresholding import Thresholding
from uad_bench.methods.vae import VAE
from uad_bench.methods.vae_restoration import VAERestoration

from uad_bench.method import FitContext, Slices, TissuePrior
from uad_bench.phantom.datasets import simulate_subject
from uad_bench.plugins.conformance import check_method
from uad_bench.training import Turn
from uad_bench.volumes.recipe import RECIPES
from uad_bench.volumes.steps.normalise import normalise

pytestmark = pytest.mark.usefixtures("_one_thread")

SHARING = (CEVAECombined, CEVAEGradient, GMVAERestoration, VAERestoration)
EVERY = (Thresholding, ControlBlack, ControlMean, *DEEP, *SHARING)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_every_method_keeps_the_contract(cls):
    assert check_method(cls) == []


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (VAE, {}),
        (VAE, {"latent": "fullres"}),
        (GMVAE, {}),
        (SPA, {}),
        (SPA, {"skips": False}),
        (SPA, {"latent": "softmax"}),
        (ControlNoPrior, {}),
        (DAE, {}),
        (VAE, {"loss": "native"}),
        (GMVAE, {"loss": "native"}),
        (DAE, {"loss": "native"}),
    ],
    ids=[
        *("vae", "vae-fullres", "gmvae", "spa", "spa-no-skips", "spa-softmax", "no-prior", "dae"),
        *("vae-native", "gmvae-native", "dae-native"),
    ],
)
def test_every_weight_gets_a_gradient(cls, params):
    trainable = training(cls, **params | ({} if cls in (DAE, ControlNoPrior) else {"beta": 1e-3}))
    network, drawn = trainable.network, torch.Generator().manual_seed(0)
    with torch.no_grad():  # variance heads that start at zero pass no gradient to their input
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.01)
        if getattr(network, "log_precision", None) is not None:
            network.log_precision.bias.fill_(1.0)  # inside the range that it is clipped to
    trainable.loss(batch(brains(4)), Turn("network", 1, drawn)).value.backward()
    silent = [n for n, w in network.named_parameters() if w.grad is None or not w.grad.any()]
    assert silent == []


@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_stored_and_loaded_it_scores_the_same_bits(cls):
    method, scan = fitted(cls), brains(4, seed=2)
    restored = cls(method.params)
    restored.load(method.state())
    assert restored.score(scan).tobytes() == method.score(scan).tobytes()


@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_a_scan_scores_the_same_bits_whole_and_slice_by_slice(cls):
    method, scan = fitted(cls), brains(5, seed=2)
    whole = method.score(scan)
    for row in (4, 0, 3, 1, 2):
        one = slice(row, row + 1)
        alone = Slices(scan.image[one], scan.brain[one], scan.z[one], scan.spacing)
        assert method.score(alone).tobytes() == whole[one].tobytes()


@pytest.fixture(scope="module")
def people() -> tuple[Slices, Slices, TissuePrior]:
    """Slices of a simulated person, of another one, and the prior that the first one makes."""
    made = []
    for subject in (1, 2):
        (scan,) = simulate_subject("hi", subject, seed=5)
        axes = (slice(13, 173, 2), slice(13, 205, 2), slice(26, 98, 2))
        volumes = (np.moveaxis(v[axes], 2, 0) for v in (scan.flair, scan.brain, scan.tissues))
        flair, brain, labels = (np.ascontiguousarray(volume) for volume in volumes)
        inside = brain > 0
        image = normalise(flair, inside, RECIPES["median"]).astype(np.float32)
        spacing = (3.0, 2.0, 2.0)
        z = np.arange(len(image))
        made.append((Slices(image[:, None], inside[:, None], z, spacing), labels))
    (train, labels), (test, _) = made
    mean = (labels == np.array([1, 2, 3, 0])[:, None, None, None]).astype(np.float32)
    return train, test, TissuePrior(mean, np.full_like(mean, 0.02), "one person")


@pytest.mark.slow
@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_a_lesion_painted_into_a_simulated_person_is_seen(cls, people):
    train, test, healthy = people
    method = cls(cls.Params(width=8, steps=400, learning_rate=4e-3))
    method.fit(train, train, FitContext(0, tissue_prior=healthy))
    lesion = np.zeros_like(test.brain)
    lesion[12:22, :, 44:50, 30:37] = True
    assert test.brain[lesion].all()
    image = np.where(lesion, np.float32(0.9), test.image)
    score = method.score(Slices(image, test.brain, test.z, test.spacing))
    outside = score[test.brain & ~lesion]
    assert np.median(score[lesion]) > np.quantile(outside, 0.9)
    assert score[lesion].mean() > 2 * outside.mean()


def scores_of_a_lesion(cls, **params) -> tuple[np.ndarray, np.ndarray]:
    """The scores inside a bright lesion that is painted in, and outside of it."""
    if cls in (*DEEP, *SHARING):
        params = {"width": 4, "steps": 100, "batch_size": 8, "learning_rate": 5e-3, **params}
    method, context = cls(cls.Params(**params)), FitContext(0, tissue_prior=prior())
    method.fit(brains(48), brains(8, seed=1), context)
    method.calibrate(brains(8, seed=1), context)
    scan = brains(6, seed=2)
    lesion = np.zeros_like(scan.brain)
    lesion[:, :, 20:24, 12:17] = True
    scan.image[lesion] = 0.95
    score = method.score(scan)
    return score[lesion], score[scan.brain & ~lesion]


BY_DIVERGENCE = (CEVAEGradient, VAERestoration, GMVAERestoration)
"""What they see is the divergence, which says little where training hardly counts it."""


@pytest.mark.parametrize(
    "cls",
    [cls for cls in EVERY if cls not in {ControlNoPrior, *BY_DIVERGENCE}],
    ids=lambda cls: cls.info.name,
)
def test_a_bright_lesion_painted_in_is_seen(cls):
    inside, healthy = scores_of_a_lesion(cls)
    assert np.median(inside) > np.quantile(healthy, 0.95)


@pytest.mark.parametrize("cls", BY_DIVERGENCE, ids=lambda cls: cls.info.name)
def test_with_a_divergence_that_counts_a_bright_lesion_is_seen(cls):
    # the gradient is smoothed over 8 pixels, and the lesion has 4 x 5
    few = {} if cls is CEVAEGradient else {"restoration_steps": 30}
    beta, above = (1e-1, 0.65) if cls is CEVAEGradient else (1e-2, 0.9)
    inside, healthy = scores_of_a_lesion(cls, beta=beta, **few)
    assert np.median(inside) > np.quantile(healthy, above)
