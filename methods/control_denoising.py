"""Control: a denoising U-Net (``dae``) trained as long as the run's methods, without a latent."""

from __future__ import annotations

from typing import ClassVar

from .dae import DAE


class ControlDenoising(DAE):
    """What a U-Net learns from noise alone, in the same steps, at the same width."""

    name: ClassVar[str] = "control-denoising"
    title: ClassVar[str] = "Denoising"
    citation: ClassVar[str] = ""
    control: ClassVar[bool] = True
    beside = "networks"
    stands_for: ClassVar[str] = "dae"
