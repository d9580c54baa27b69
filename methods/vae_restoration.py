"""VAE restoration: the image near a slice that the VAE finds likely (You et al. 2019, MIDL)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from uad_bench.method import Method, MethodInfo
from uad_bench.training.restoration import RestorationMethod, RestorationParams

from .vae import VAE


class VAERestoration(RestorationMethod, VAE):
    """Trained as the VAE; the anomaly map is what a descent on the slice itself changes."""

    class Params(VAE.Params, RestorationParams):
        """Hyper-parameters of the VAE and of the descent."""

        clip: float = Field(default=50.0, gt=0.0)

    info = MethodInfo(
        name="vae-restoration",
        title="VAE restoration",
        citation="You et al. 2019",
        first_trial=VAE.info.first_trial,
        presets={
            "paper": {
                **VAE.info.presets["paper"],
                "restoration_steps": 500,
                "tv_largest": 3.8,
                "tv_choices": 20,
            }
        },
    )
    trained_as: ClassVar[type[Method] | None] = VAE
    params: Params
