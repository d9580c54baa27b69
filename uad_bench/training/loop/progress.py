"""How far a training is: all that its other steps depend on, as bytes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch

from uad_bench.method import Checkpoint
from uad_bench.training.loop.selection import Selection
from uad_bench.training.loop.trainable import Trainable


@dataclass(frozen=True, slots=True)
class Progress:
    """What changes from step to step.

    Attributes:
        trainable: its players' weights and running statistics, and its extra state.
        optimisers: of every player, by its name.
        schedules: of their learning rates.
        generator: the source of every draw.
        selection: the best state so far, and the curves.
    """

    trainable: Trainable
    optimisers: Mapping[str, torch.optim.Optimizer]
    schedules: Sequence[torch.optim.lr_scheduler.LambdaLR]
    generator: torch.Generator
    selection: Selection

    def keep(self, step: int, checkpoint: Checkpoint) -> None:
        """Have the state after ``step`` steps kept."""
        state = {
            "step": step,
            "players": {one.name: one.module.state_dict() for one in self.trainable.players},
            "extra": dict(self.trainable.extra_state),
            "optimisers": {name: one.state_dict() for name, one in self.optimisers.items()},
            "schedules": [one.state_dict() for one in self.schedules],
            "generator": self.generator.get_state(),
            "selection": self.selection.progress(),
        }
        stream = BytesIO()
        torch.save(state, stream)
        checkpoint.save(stream.getvalue())

    def resume(self, checkpoint: Checkpoint) -> int:
        """Go back to the state that was kept last.

        Returns:
            After how many steps it was; 0 where none was kept.
        """
        if (kept := checkpoint.load()) is None:
            return 0
        # Only tensors and plain values are read, never code. What belongs on a GPU is copied there.
        state: dict[str, Any] = torch.load(BytesIO(kept), map_location="cpu", weights_only=True)
        for player in self.trainable.players:
            player.module.load_state_dict(state["players"][player.name])
        for name, tensor in self.trainable.extra_state.items():
            tensor.copy_(state["extra"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for schedule, kept in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(kept)
        self.generator.set_state(state["generator"])
        self.selection.resume(state["selection"])
        step: int = state["step"]
        return step
