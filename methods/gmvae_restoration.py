"""GM-IR: the image near a slice that the GMVAE finds likely (You et al. 2019, MIDL)."""

from __future__ import annotations

from typing import ClassVar

from uad_bench.method import Method, MethodInfo
from uad_bench.training.restoration import RestorationMethod, RestorationParams

from .gmvae import GMVAE


class GMVAERestoration(RestorationMethod, GMVAE):
    """Trained as the GMVAE; the anomaly map is what a descent on the slice itself changes."""

    class Params(GMVAE.Params, RestorationParams):
        """Hyper-parameters of the GMVAE and of the descent."""

    info = MethodInfo(
        name="gmvae-restoration",
        title="GM-IR",
        citation="You et al. 2019",
        first_trial=GMVAE.info.first_trial,
        presets={
            "paper": {
                **GMVAE.info.presets["paper"],
                "restoration_steps": 500,
                "tv_largest": 3.8,
                "tv_choices": 20,
            }
        },
    )
    trained_as: ClassVar[type[Method] | None] = GMVAE
    params: Params
