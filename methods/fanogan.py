"""f-AnoGAN: a generator of healthy slices, and an encoder that finds each its draw.

Schlegl et al. 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from uad_bench.method import FitContext, FitReport, MethodInfo, Slices
from uad_bench.models.adversarial import Critic, Encoder, Generator
from uad_bench.models.batches import Batch, spread
from uad_bench.models.losses.pixelwise import absolute_error
from uad_bench.training import (
    VALIDATION_SLICES,
    DeepReconstruction,
    Loss,
    Player,
    Trainable,
    TrainingParams,
    Turn,
    train_players,
)
from uad_bench.training.adversarial import COVERING, AdversarialTraining, adversarial_adam
from uad_bench.training.loop.collapse import refuse_collapse


class FAnoGAN(DeepReconstruction):
    """Two trainings of ``steps`` each: generator against critic, then the encoder alone."""

    class Params(TrainingParams):
        """Hyper-parameters of both trainings."""

        learning_rate: float = Field(default=2e-4, gt=0.0)
        width: int = Field(default=16, ge=2, le=256)
        """Filters of the first block of critic and encoder, and of the generator's last."""
        latent: int = Field(default=128, ge=1)
        """Length of a draw."""
        critic_turns: int = Field(default=5, ge=1)
        """Batches that the critic learns from for each of the generator's."""
        kappa: float = Field(default=1.0, ge=0.0)
        """Weight of the critic's features in the encoder's loss."""

    info = MethodInfo(
        name="fanogan",
        title="f-AnoGAN",
        citation="Schlegl et al. 2019",
        presets={"paper": {"width": 32, "steps": 50_000, "batch_size": 64, "learning_rate": 1e-4}},
    )
    budget = ("width", "steps", "batch_size")
    params: Params
    shape_: tuple[int, int]

    def build(self) -> None:
        """Set the three untrained networks."""
        width, latent = self.params.width, self.params.latent
        self.encoder_ = Encoder(latent, self.shape_, width)
        self.generator_ = Generator(latent, self.shape_, width)
        self.critic_ = Critic(self.shape_, width)

    def trainable(self, context: FitContext) -> AdversarialTraining:
        """Return the training of generator and critic."""
        latent, turns = self.params.latent, self.params.critic_turns
        return AdversarialTraining(self.generator_, self.critic_, latent, turns)

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train generator and critic, then the encoder.

        Raises:
            DivergenceError: if a loss is no longer finite, or the generator collapsed.
        """
        height, width = train.image.shape[2:]
        self.shape_ = (height, width)
        first = super().fit(train, validation, context)
        self._refuse_collapse(validation, context)
        second = train_players(_Encoding(self), self.params, train, validation, context)
        return replace(
            second,
            steps=first.steps + second.steps,
            slices_seen=first.slices_seen + second.slices_seen,
            curves={**first.curves, **{f"encoder_{k}": v for k, v in second.curves.items()}},
            notes=(*first.notes, *second.notes),
        )

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return the slices that the generator makes of the encoder's draws."""
        made: Tensor = self.generator_(self.encoder_(batch.image))
        return made

    @torch.inference_mode()
    def _refuse_collapse(self, validation: Slices, context: FitContext) -> None:
        rows, device = spread(len(validation), VALIDATION_SLICES), torch.device(context.device)
        self.generator_.eval()
        source = torch.Generator(device).manual_seed(context.seed)
        made = self.trainable(context).draw(COVERING, source)
        refuse_collapse(made, Batch.read(validation, rows, device).image)


class _Encoding(Trainable):
    def __init__(self, method: FAnoGAN) -> None:
        self.method = method

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player("encoder", self.method.encoder_),)

    def optimiser(self, player: Player, learning_rate: float) -> torch.optim.Optimizer:
        return adversarial_adam(player, learning_rate)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        made = self.method.reconstruct_batch(batch)
        features = self.method.critic_.features
        error = (batch.image - made).square().mean()
        apart = (features(batch.image) - features(made)).square().mean()
        return Loss(error + self.method.params.kappa * apart, {"features": apart})

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        made = self.method.reconstruct_batch(batch) * batch.brain
        return {"l1": absolute_error(batch.image, made)}
