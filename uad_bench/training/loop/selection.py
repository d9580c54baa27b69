"""Which state of a training run is kept: the one that does best on healthy validation slices."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uad_bench.method import FitContext, Slices
from uad_bench.models.batches import Batch, spread
from uad_bench.training.loop.trainable import Trainable

VALIDATION_SLICES = 40
"""How many validation slices, evenly spread, each check sees."""

_CHANGING = ("curves", "metrics", "states", "since", "_lowest")
"""The attributes that checks change."""


@dataclass(slots=True)
class Selection:
    """The best state of a run so far.

    Attributes:
        trainable: what is trained, and what judges its own states.
        batches: the validation slices; the same at every check.
        device: where they are.
        seed: of the draws of a check; the same at every check.
        curves: pairs of step and value, per metric and for the value that decides (``loss``).
        metrics: of the best state; empty before there is one.
        states: the best state of every player, by its name.
        since: checks since the best one.
    """

    trainable: Trainable
    batches: tuple[Batch, ...]
    device: torch.device
    seed: int
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    since: int = 0
    _lowest: float = float("inf")

    @classmethod
    def make(
        cls, trainable: Trainable, validation: Slices, batch_size: int, context: FitContext
    ) -> Selection:
        """Read the validation slices."""
        device = torch.device(context.device)
        rows = spread(len(validation), VALIDATION_SLICES)
        parts = np.array_split(rows, -(-len(rows) // batch_size))
        batches = tuple(trainable.prepared(Batch.read(validation, part, device)) for part in parts)
        return cls(trainable, batches, device, context.seed + 1)

    def check(self, step: int) -> Mapping[str, float]:
        """Look at the players after ``step`` steps, and keep a copy of their states if best.

        Returns:
            The metrics on the validation slices.
        """
        metrics = self._measure()
        value = self.trainable.judge(metrics)
        for name, number in {"loss": value, **metrics}.items():
            self.curves.setdefault(f"validation_{name}", []).append((step, number))
        self.since += 1
        if value < self._lowest:
            self.metrics, self._lowest, self.since = metrics, value, 0
            self.states = {
                player.name: copy.deepcopy(player.module.state_dict())
                for player in self.trainable.players
            }
        return metrics

    def progress(self) -> dict[str, Any]:
        """Return what the checks so far came to."""
        return {name: getattr(self, name) for name in _CHANGING}

    def resume(self, progress: Mapping[str, Any]) -> None:
        """Go on after the checks that :meth:`progress` told of."""
        for name in _CHANGING:
            setattr(self, name, progress[name])

    def restore(self) -> None:
        """Put every player into its best state."""
        for player in self.trainable.players:
            player.module.load_state_dict(self.states[player.name])

    @torch.inference_mode()
    def _measure(self) -> dict[str, float]:
        """The mean of each metric over the validation slices."""
        for player in self.trainable.players:
            player.module.eval()
        generator = torch.Generator(self.device).manual_seed(self.seed)
        sums: defaultdict[str, list[Tensor]] = defaultdict(list)
        for batch in self.batches:
            for name, values in self.trainable.validate(batch, generator).items():
                sums[name].append(values.sum())
        count = sum(len(batch.z) for batch in self.batches)
        return {name: sum(torch.stack(parts).tolist()) / count for name, parts in sums.items()}
