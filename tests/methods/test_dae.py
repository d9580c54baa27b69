"""The DAE learns from noise."""

from __future__ import annotations

import pytest
from small_methods import TINY, brains
from uad_bench.methods.dae import DAE

from uad_bench.method import FitContext, search_space

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_the_dae_learns_from_noise_has_no_latent_and_is_not_tuned():
    assert not DAE.info.control
    assert DAE.Params().corruption == "noise"
    assert not search_space(DAE.Params)
    assert not {"beta", "snr"} & set(DAE.Params.model_fields)
    report = DAE(DAE.Params(**TINY)).fit(brains(8), brains(4, seed=1), FitContext(0))
    assert set(report.validation) == {"l1"}
    assert set(report.curves) == {"validation_loss", "validation_l1"}
