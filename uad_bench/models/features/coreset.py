"""A few patches that lie near every other one: greedy k-centre (Roth et al. 2022, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor


def coreset(patches: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return the rows of patches that are kept, ``[count]``, or all where there are fewer.

    The first is drawn. Each further one is the patch that lies farthest from those before, so that
    the largest distance of any patch to a kept one is at most twice the least possible
    (Gonzalez 1985).

    Args:
        patches: ``[N, D]``.
        count: how many to keep.
        generator: source of the first one, on the patches' device.
    """
    number = len(patches)
    if number <= count:
        return torch.arange(number, device=patches.device)
    chosen = torch.empty(count, dtype=torch.int64, device=patches.device)
    chosen[0] = torch.randint(number, (), generator=generator, device=patches.device)
    squares = patches.square().sum(dim=1)
    nearest = torch.full_like(squares, torch.inf)
    for place in range(1, count):
        last = chosen[place - 1]
        apart = squares + squares[last] - 2 * (patches @ patches[last])
        nearest = torch.minimum(nearest, apart)
        nearest[last] = -torch.inf  # never again, also where patches are equal
        chosen[place] = nearest.argmax()
    return chosen


def distance_to_nearest(patches: Tensor, kept: Tensor) -> Tensor:
    """Return the Euclidean distance of each patch to the nearest kept one, ``[N, D] -> [N]``."""
    return torch.cdist(patches, kept).min(dim=1).values
