"""cAAE: an adversarial autoencoder whose reconstructions keep their latent.

Chen and Konukoglu 2018.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench.method import FitContext, FitReport, MethodInfo, Slices
from uad_bench.models.adversarial import Encoder, Generator, critic_loss
from uad_bench.models.batches import Batch
from uad_bench.models.losses.pixelwise import absolute_error
from uad_bench.training import (
    DeepReconstruction,
    Loss,
    Player,
    Trainable,
    TrainingParams,
    Turn,
)
from uad_bench.training.adversarial import adversarial_adam


class CAAE(DeepReconstruction):
    """An autoencoder whose latent a critic compares with draws from N(0, I)."""

    class Params(TrainingParams):
        """Hyper-parameters of autoencoder and critic."""

        learning_rate: float = Field(default=1e-3, gt=0.0)
        width: int = Field(default=16, ge=2, le=256)
        """Filters of the first block."""
        latent: int = Field(default=128, ge=1)
        """Length of the latent."""
        critic_turns: int = Field(default=5, ge=1)
        """Batches that the critic learns from for each of the autoencoder's; 20 in the paper."""
        rho: float = Field(default=1.0, ge=0.0)
        """Weight of the difference between the latents of a slice and of its reconstruction."""

    info = MethodInfo(
        name="caae",
        title="cAAE",
        citation="Chen and Konukoglu 2018",
        presets={"paper": {"width": 64, "steps": 50_000, "batch_size": 32, "critic_turns": 20}},
    )
    budget = ("width", "steps", "batch_size")
    objective = ("l1",)
    params: Params
    shape_: tuple[int, int]

    def build(self) -> None:
        """Set the untrained networks."""
        width, latent = self.params.width, self.params.latent
        self.encoder_ = Encoder(latent, self.shape_, width)
        self.decoder_ = Generator(latent, self.shape_, width)
        self.critic_ = nn.Sequential(
            nn.Linear(latent, 400),
            nn.LeakyReLU(0.2),
            nn.Linear(400, 200),
            nn.LeakyReLU(0.2),
            nn.Linear(200, 1),
        )

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training of all three."""
        return _Training(self)

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train, and keep the state with the lowest L1 on validation slices.

        Raises:
            DivergenceError: if a loss is no longer finite, or the decoder makes one slice of all.
        """
        height, width = train.image.shape[2:]
        self.shape_ = (height, width)
        report = super().fit(train, validation, context)
        self.refuse_collapse(self.reconstruct, validation)
        return report

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return the decoder's slices ``[B, 1, H, W]`` in [0, 1]."""
        made: Tensor = self.decoder_(self.encoder_(batch.image))
        return made


class _Training(Trainable):
    def __init__(self, method: CAAE) -> None:
        self.method = method
        self.autoencoder = nn.ModuleList([method.encoder_, method.decoder_])

    @property
    def players(self) -> tuple[Player, ...]:
        """The autoencoder, the critic, and the encoder as what the critic is against."""
        return (
            Player("autoencoder", self.autoencoder),
            Player("critic", self.method.critic_, self.method.params.critic_turns),
            Player("encoder", self.method.encoder_),
        )

    def optimiser(self, player: Player, learning_rate: float) -> torch.optim.Optimizer:
        return adversarial_adam(player, learning_rate)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        latent = self.method.encoder_(batch.image)
        if turn.player == "critic":
            shape, device = latent.shape, turn.generator.device
            drawn = torch.randn(shape, generator=turn.generator, device=device)
            return Loss(critic_loss(self.method.critic_, drawn, latent, turn.generator))
        if turn.player == "encoder":
            return Loss(-self.method.critic_(latent).mean())
        made = self.method.decoder_(latent)
        error = (batch.image - made).square().mean()
        apart = (self.method.encoder_(made) - latent).square().mean()
        return Loss(error + self.method.params.rho * apart, {"latent": apart})

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        made = self.method.reconstruct_batch(batch) * batch.brain
        return {"l1": absolute_error(batch.image, made)}
