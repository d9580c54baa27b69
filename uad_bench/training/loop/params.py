"""The hyper-parameters of the training loop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from uad_bench.method import Params


class TrainingParams(Params):
    """Hyper-parameters of the shared training loop."""

    steps: int = Field(default=300, ge=1)
    """Steps of the training loop. In each, every player takes its turns."""
    batch_size: int = Field(default=4, ge=2)
    """Slices per turn."""
    learning_rate: float = Field(default=2e-3, gt=0.0)
    """Learning rate of the optimiser at the start."""
    decay: float = Field(default=0.97, gt=0.0, le=1.0)
    """Factor by which the learning rate is multiplied, as often as ``decay_per`` says."""
    decay_per: Literal["hundredth", "epoch"] = "hundredth"
    """After what it is multiplied: each hundredth of the run, or each epoch. A short run may be
    less than an epoch."""
    checks: int = Field(default=4, ge=1)
    """How often a run looks at the healthy validation slices. The best state is kept."""
    patience: int | None = Field(default=None, ge=1)
    """Checks without a better state after which a run ends; ``null``: it never ends early."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What a loss is computed in. ``bfloat16`` is faster on GPUs that know it, and slower on most
    CPUs. Weights, validation and scores are of ``float32`` in any case."""
    deterministic: bool = True
    """Whether a GPU has to come to the same bits every time, for which it is slower. A CPU does in
    any case."""
