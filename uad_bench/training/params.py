"""The hyper-parameters that every deep method has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from uad_bench.method import Params, tunable
from uad_bench.models.gaussians import NormScope, Sampler
from uad_bench.models.perceptual import PerceptualName
from uad_bench.models.self_supervision import Corruption


class TrainingParams(Params):
    """Hyper-parameters of the shared training.

    Attributes:
        width: filters of the first block; the paper's size is 32.
        steps: optimiser steps.
        batch_size: slices per step.
        learning_rate: of Adam, at the start.
        decay: factor on the learning rate after each hundredth of the run, or each epoch.
        decay_per: which of the two; a short run may be less than an epoch.
        checks: how often a run looks at the healthy validation slices; the best state is kept.
        patience: checks without a better state after which a run ends; never, if not given.
        loss: ``paper`` for the shared loss of Bercea et al. 2022, or ``native`` for the method's
            own reconstruction term, in which neither total variation nor perception counts.
        tv_weight: weight of the reconstruction's total variation; 1 in the paper.
        corruption: what is painted into the input, to be left out: bright ``rectangles``, coarse
            ``noise``, or ``none``.
        clean_target: whether the target is cleaned of the healthy's own hyperintense outliers; the
            input keeps them.
        perceptual_weight: weight of the perceptual distance; 0.1 as in the paper.
        perceptual: the network in whose features it is taken; the paper's is ``vgg19``.
        vgg19_weights: file with the ImageNet weights of VGG19, in torchvision's layout.
        vgg19_sha256: checksum that this file must have.
    """

    width: int = Field(default=16, ge=2, le=256)
    steps: int = Field(default=300, ge=1)
    batch_size: int = Field(default=4, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    decay: float = Field(default=0.97, gt=0.0, le=1.0)
    decay_per: Literal["hundredth", "epoch"] = "hundredth"
    checks: int = Field(default=4, ge=1)
    patience: int | None = Field(default=None, ge=1)
    loss: Literal["paper", "native"] = "paper"
    tv_weight: float = Field(default=0.1, ge=0.0)
    corruption: Corruption = "rectangles"
    clean_target: bool = False
    perceptual_weight: float = Field(default=0.1, ge=0.0)
    perceptual: PerceptualName = "efficientnet-lite0"
    vgg19_weights: Path | None = None
    vgg19_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        if self.perceived and self.perceptual == "vgg19" and self.vgg19_weights is None:
            raise PydanticCustomError(
                "no_weights", "perceptual vgg19 needs a weight file: set vgg19_weights"
            )
        return self

    @property
    def perceived(self) -> bool:
        """Whether the loss has a perceptual distance."""
        return self.loss == "paper" and self.perceptual_weight > 0

    @property
    def divergence_weight(self) -> float:
        """Weight of the network's divergence in the loss: none, for a network without a latent."""
        return 0.0

    @property
    def divergence_rise(self) -> float:
        """Steps in which that weight rises from 0."""
        return 0.0

    def divergence_weight_at(self, step: int) -> float:
        """Weight of the network's divergence in the loss of a step, counted from 1."""
        rise = self.divergence_rise
        return self.divergence_weight * min(1.0, step / rise) if rise else self.divergence_weight

    @property
    def draws(self) -> int:
        """Draws of the latent that a reconstruction is the mean of; 0 for no draw at all."""
        return 0


class DeepParams(TrainingParams):
    """Hyper-parameters of the methods with a latent distribution.

    Attributes:
        beta: weight of the divergence in the loss.
        snr: signal-to-noise ratio of the latent's noise (Bercea et al. 2022, section 2.2).
        reparameterisation: ``snr``, or ``plain`` for noise that does not scale with the signal.
        norm_scope: whether the norms of ``snr`` run over a sample or over the whole batch.
        warmup: share of the steps in which the divergence's weight rises from 0 to ``beta``, in a
            straight line.
        n_samples: draws of the latent whose reconstructions are averaged when the detector is
            used; its mean, if 0.
    """

    beta: float = tunable(1e-5, 1e-5, 1e-2, log=True, ge=0.0)
    snr: float = tunable(16.0, 4.0, 64.0, log=True, gt=0.0)
    reparameterisation: Literal["snr", "plain"] = "snr"
    norm_scope: NormScope = "sample"
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    n_samples: int = Field(default=0, ge=0)

    @property
    def divergence_weight(self) -> float:
        """Weight of the network's divergence in the loss."""
        return self.beta

    @property
    def divergence_rise(self) -> float:
        """Steps in which that weight rises from 0."""
        return self.warmup * self.steps

    @property
    def draws(self) -> int:
        """Draws of the latent that a reconstruction is the mean of; its mean, if 0."""
        return self.n_samples

    @property
    def sampler(self) -> Sampler:
        """How the latent is sampled in training."""
        return Sampler(self.snr if self.reparameterisation == "snr" else None, self.norm_scope)


PAPER_TRAINING: Mapping[str, Any] = MappingProxyType(
    {
        "width": 32,
        "steps": 50_000,
        "batch_size": 2,
        "learning_rate": 5e-4,
        "decay": 0.97,
        "decay_per": "epoch",
        "checks": 100,
        "patience": 10,
        "loss": "paper",
        "tv_weight": 1.0,
        "corruption": "rectangles",
        "clean_target": True,
        "perceptual_weight": 0.1,
    }
)
"""How Bercea et al. 2022 (section 3) train all their methods.

The clean target is their code's. The paper trains "until convergence", which is read as: at most
50,000 steps, and an end after a tenth of them without a better state.
"""

PAPER: Mapping[str, Any] = MappingProxyType(
    {
        **PAPER_TRAINING,
        "beta": 1e-3,
        "snr": 16.0,
        "reparameterisation": "snr",
        "norm_scope": "batch",
        "warmup": 0.0,
    }
)
"""The same with their latent; ``norm_scope`` is their code's."""
