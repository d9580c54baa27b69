"""Training slices on the device: copied there once where they fit, else batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uad_bench.method import Slices
from uad_bench.models.batches import Batch, free_gpu_memory

SHARE = 4
"""The slices may take a quarter of the free memory: as much again while they are put together."""

_AT_ONCE = 256
"""Slices that are read and copied at a time."""


Prepare = Callable[[Batch], Batch]
"""Adds to slices what depends on nothing else."""


def feed(
    slices: Slices, order: NDArray[np.int64], device: torch.device, prepare: Prepare
) -> Iterator[Batch]:
    """Yield one batch per row of ``order``, which names its slices, ``[T, B]``."""
    size = slices.image.nbytes + slices.brain.nbytes
    free = free_memory(device)
    if SHARE * size <= free:
        one = prepare(Batch.read(slices, np.zeros(1, np.int64), device))
        if one.target is not None:
            size += slices.image.nbytes
        if SHARE * size <= free:
            return resident(slices, order, device, prepare)
    return (prepare(Batch.read(slices, rows, device)) for rows in order)


def resident(
    slices: Slices, order: NDArray[np.int64], device: torch.device, prepare: Prepare
) -> Iterator[Batch]:
    """Yield the same batches from slices and rows that were copied to the device before."""
    everyone = np.arange(len(slices))
    read = [
        prepare(Batch.read(slices, rows, device))
        for rows in np.array_split(everyone, -(-len(slices) // _AT_ONCE))
    ]
    image, brain, z = (
        torch.cat(part)
        for part in zip(*((one.image, one.brain, one.z) for one in read), strict=True)
    )
    lesion, target = (
        _joined([getattr(one, name) for one in read]) for name in ("lesion", "target")
    )
    del read
    for rows in torch.from_numpy(order).to(device):
        more = (None if part is None else part[rows] for part in (lesion, target))
        yield Batch(image[rows], brain[rows], z[rows], slices.spacing, *more)


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """One tensor of those that all slices have; nothing where they have none."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU; 0 for the CPU, which reads slices where they are."""
    return free_gpu_memory(device) if device.type == "cuda" else 0
