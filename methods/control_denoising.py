"""Control: a denoising U-Net (``dae``) trained as long as the run's methods, without a latent."""

from __future__ import annotations

from uad_bench.method import MethodInfo

from .dae import DAE


class ControlDenoising(DAE):
    """What a U-Net learns from noise alone, in the same steps, at the same width."""

    info = MethodInfo(
        name="control-denoising",
        title="Denoising",
        control=True,
        beside="networks",
        stands_for="dae",
        presets=DAE.info.presets,
    )
