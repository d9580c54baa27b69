"""A network that makes one slice, whatever it is given, has collapsed."""

from __future__ import annotations

import torch
from torch import Tensor

from uad_bench.errors import DivergenceError

COLLAPSED = 0.1
"""Generated slices that differ from each other by less than this share of what healthy ones differ
by are one slice."""


def refuse_collapse(
    made: Tensor, healthy: Tensor, maker: str = "the generator", brain: Tensor | None = None
) -> None:
    """Stop where a network makes one slice, whatever it is given.

    Args:
        made: generated slices, ``[B, 1, H, W]``.
        healthy: real ones, ``[N, 1, H, W]``.
        maker: what the message calls the network.
        brain: bool, where the ones were made of the others: only differences inside the brain
            count, because the brains differ in shape whatever the network makes.

    Raises:
        DivergenceError: if the generated ones differ from each other by less than a tenth of what
            the real ones do.
    """
    ours, theirs = _spread(made, brain), _spread(healthy, brain)
    if not ours >= COLLAPSED * theirs:
        raise DivergenceError(
            f"{maker} collapsed: its slices differ by {ours:.2g} on average, healthy ones by "
            f"{theirs:.2g}; lower learning_rate, or take more steps or another seed"
        )


def _spread(images: Tensor, where: Tensor | None = None) -> float:
    """The mean absolute difference between an image and the mean of all, where it counts."""
    counts = torch.ones_like(images) if where is None else where.to(images.dtype)
    mean = (images * counts).sum(dim=0) / counts.sum(dim=0).clamp(min=1)
    return float(((images - mean).abs() * counts).sum() / counts.sum().clamp(min=1))
