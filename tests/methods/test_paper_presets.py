"""The preset `paper` is the recipe of the paper."""

from __future__ import annotations

import numpy as np
import pytest
from small_methods import DEEP, LATENT, brains, prior, tensors, training
from uad_bench.methods.dae import DAE
from uad_bench.methods.spa import SPA

from uad_bench.method import FitContext
from uad_bench.training import PAPER_TRAINING

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_the_papers_preset_leaves_the_dae_its_noise():
    params = DAE.Params(**DAE.info.presets["paper"])
    assert params == DAE.Params(**PAPER_TRAINING | {"corruption": "noise"})
    assert params.width == 32


@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_the_papers_preset_is_the_recipe_of_the_paper(cls):
    params = cls.Params(**cls.info.presets["paper"])
    published = {
        "beta": 1e-3,
        "snr": 16.0,
        "reparameterisation": "snr",
        "norm_scope": "batch",
        "width": 32,
        "batch_size": 2,
        "learning_rate": 5e-4,
        "decay": 0.97,
        "decay_per": "epoch",
        "tv_weight": 1.0,
        "perceptual_weight": 0.1,
        "corruption": "rectangles",
        "clean_target": True,
    }
    assert {name: getattr(params, name) for name in published} == published
    # tuning starts from the preset: what it tunes is published alike
    assert {name: getattr(params, name) for name in cls.info.first_trial} == cls.info.first_trial


def test_the_papers_spa_starts_with_a_variance_of_one_half():
    values = SPA.info.presets["paper"] | {"width": 4}
    network = training(SPA, **values).network
    posterior = network.encode(tensors(brains(2))[0]).posterior
    assert posterior.log_variance.exp().detach().numpy() == pytest.approx(0.5, rel=1e-6)
    assert network.prior.log_variance.exp().min().item() == pytest.approx(0.02)


@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_the_papers_preset_trains_and_says_what_it_used(cls):
    method = cls(cls.Params(**cls.info.presets["paper"] | {"width": 4, "steps": 3}))
    report = method.fit(brains(12), brains(6, seed=1), FitContext(0, tissue_prior=prior()))
    assert any(note.startswith("perceptual loss: efficientnet-lite0") for note in report.notes)
    assert any(note.startswith("target cleaned of") for note in report.notes)
    assert np.isfinite(method.score(brains(2, seed=2))).all()
