"""The hyper-parameters of the training loop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from uad_bench.method import Params


class TrainingParams(Params):
    """Hyper-parameters of the shared training loop.

    Attributes:
        steps: steps of the loop; in each, every player takes its turns.
        batch_size: slices per turn.
        learning_rate: of the optimiser, at the start.
        decay: factor on the learning rate after each hundredth of the run, or each epoch.
        decay_per: which of the two; a short run may be less than an epoch.
        checks: how often a run looks at the healthy validation slices; the best state is kept.
        patience: checks without a better state after which a run ends; never, if not given.
    """

    steps: int = Field(default=300, ge=1)
    batch_size: int = Field(default=4, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    decay: float = Field(default=0.97, gt=0.0, le=1.0)
    decay_per: Literal["hundredth", "epoch"] = "hundredth"
    checks: int = Field(default=4, ge=1)
    patience: int | None = Field(default=None, ge=1)
