"""A few patches that lie near every other one: greedy k-centre (Roth et al. 2022, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from uad_bench.models.batches import free_gpu_memory
from uad_bench.system.machine import free_memory

_SHARE = 0.5
"""Of the free memory that patches to choose from may take."""

_AT_ONCE = 50_000
"""Kept patches that others are compared with at once."""


def fitting(channels: int, device: torch.device | str) -> int | None:
    """Return how many patches to choose from memory holds, at least one; ``None``: nobody knows.

    While they are gathered, and while some are chosen, each takes twice its channels, or some
    numbers more.

    Args:
        channels: of a patch.
        device: where they are.
    """
    where = torch.device(device)
    free = free_gpu_memory(where) if where.type == "cuda" else free_memory()
    return None if free is None else max(1, int(_SHARE * free) // (4 * (2 * channels + 6)))


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
    parts = [torch.cdist(patches, part).min(dim=1).values for part in torch.split(kept, _AT_ONCE)]
    return parts[0] if len(parts) == 1 else torch.stack(parts).min(dim=0).values
