"""What a network learns from, and which of its states is kept."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from uad_bench.method import FitContext, Slices
from uad_bench.models.batches import Batch, spread
from uad_bench.models.gaussians import Gaussian
from uad_bench.models.losses import absolute_error
from uad_bench.models.self_supervision import clean, corrupt
from uad_bench.training.objective import Objective
from uad_bench.training.params import TrainingParams

VALIDATION_SLICES = 40
"""How many validation slices, evenly spread, each check sees."""


def example(
    batch: Batch,
    spacing: tuple[float, float, float],
    params: TrainingParams,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the network's input and what it should make of it.

    The slices, corrupted as the input and cleaned as the target where the method wants it.
    """
    image = corrupt(batch.image, batch.brain, spacing[1:], params.corruption, generator)
    return image, clean(batch.image, batch.brain) if params.clean_target else batch.image


@dataclass(frozen=True, slots=True)
class Exam:
    """The same validation batches, painted the same way, at every check.

    Attributes:
        batches: input and target ``[B, 1, H, W]``, and the batch that they come from.
    """

    batches: tuple[tuple[Tensor, Tensor, Batch], ...]

    @classmethod
    def make(cls, validation: Slices, params: TrainingParams, context: FitContext) -> Exam:
        """Draw the batches from the validation slices."""
        generator = torch.Generator(context.device).manual_seed(context.seed + 1)
        rows = spread(len(validation), VALIDATION_SLICES)
        parts = np.array_split(rows, -(-len(rows) // params.batch_size))
        batches = (Batch.read(validation, part, generator.device) for part in parts)
        return cls(
            tuple(
                (*example(batch, validation.spacing, params, generator), batch) for batch in batches
            )
        )

    @torch.inference_mode()
    def take(self, objective: Objective) -> tuple[float, dict[str, float]]:
        """Return the misfit, and L1 and KL, over the validation slices, without noise."""
        objective.network.eval()
        misfit, l1, kl, count = 0.0, 0.0, 0.0, 0
        for image, target, batch in self.batches:
            predicted, divergence = objective.network(image, batch.z)
            predicted = Gaussian(predicted.mean * batch.brain, predicted.log_variance)
            misfit += objective.misfit(target, predicted, batch.brain).sum().item()
            l1 += absolute_error(target, predicted.mean).sum().item()
            kl += divergence.sum().item()
            count += len(image)
        return misfit / count, {"l1": l1 / count, "kl": kl / count}


@dataclass(slots=True)
class Selection:
    """The best state of a run so far, by the lowest ``misfit + beta KL`` on validation slices.

    Attributes:
        exam: the validation slices.
        objective: what is trained.
        curves: per metric, pairs of step and value.
        marks: L1 and KL of the best state; empty before there is one.
        state: the best state.
        since: checks since the best one.
    """

    exam: Exam
    objective: Objective
    curves: dict[str, list[tuple[int, float]]] = field(
        default_factory=lambda: {"loss": [], "l1": [], "kl": []}
    )
    marks: dict[str, float] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    since: int = 0
    _lowest: float = float("inf")

    def check(self, step: int) -> None:
        """Look at the network after ``step`` steps, and keep a copy of its state if it is best."""
        misfit, marks = self.exam.take(self.objective)
        value = misfit + self.objective.params.divergence_weight * marks["kl"]
        for metric, number in {"loss": value, **marks}.items():
            self.curves[metric].append((step, number))
        self.since += 1
        if value < self._lowest:
            self.marks, self._lowest, self.since = marks, value, 0
            self.state = copy.deepcopy(self.objective.network.state_dict())
