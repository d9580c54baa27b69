"""The training of a generator against its critic (Gulrajani et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from uad_bench.models.adversarial import BETAS, critic_loss
from uad_bench.models.batches import Batch
from uad_bench.training.loop.trainable import Loss, Player, Trainable, Turn

COVERING = 32
"""Generated slices among which the nearest to a healthy one is looked for."""


class AdversarialTraining(Trainable):
    """The state that is kept has the slices that come nearest to healthy validation slices.

    Args:
        generator: from draws ``[B, latent]`` to slices ``[B, 1, H, W]``.
        critic: from slices to a number each.
        latent: length of a draw.
        critic_turns: batches that the critic learns from for each of the generator's.
    """

    def __init__(
        self, generator: nn.Module, critic: nn.Module, latent: int, critic_turns: int
    ) -> None:
        self.generator, self.critic = generator, critic
        self.latent, self.critic_turns = latent, critic_turns

    @property
    def players(self) -> tuple[Player, ...]:
        """The critic, and the generator."""
        return Player("critic", self.critic, self.critic_turns), Player("generator", self.generator)

    def optimiser(self, player: Player, learning_rate: float) -> torch.optim.Optimizer:
        """Return Adam with the decay rates that such a game needs."""
        return adversarial_adam(player, learning_rate)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Return the critic's gap and penalty, or what the generator makes of the critic."""
        fake = self.draw(len(batch.z), turn.generator)
        if turn.player == "critic":
            return Loss(critic_loss(self.critic, batch.image, fake, turn.generator))
        return Loss(-self.critic(fake).mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return the mean absolute difference to the nearest of some generated slices."""
        made = self.draw(COVERING, generator)
        apart = (batch.image[:, None] - made[None]).abs().mean(dim=(2, 3, 4))
        return {"nearest": apart.min(dim=1).values}

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return generated slices ``[count, 1, H, W]`` of draws from N(0, I)."""
        shape = (count, self.latent)
        draws = torch.randn(shape, generator=generator, device=generator.device)
        made: Tensor = self.generator(draws)
        return made


def adversarial_adam(player: Player, learning_rate: float) -> torch.optim.Optimizer:
    """Return Adam with the decay rates of :data:`BETAS`, for every player of such a game."""
    return torch.optim.Adam(player.module.parameters(), lr=learning_rate, betas=BETAS)
