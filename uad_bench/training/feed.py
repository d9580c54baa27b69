"""Training slices on the device: copied there once where they fit, else batch after batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from uad_bench.method import Slices
from uad_bench.models.batches import Batch

SHARE = 4
"""The slices may take a quarter of the free memory: as much again while they are put together."""

_AT_ONCE = 256
"""Slices that are read and copied at a time."""


def feed(slices: Slices, order: NDArray[np.int64], device: torch.device) -> Iterator[Batch]:
    """Yield one batch per row of ``order``, which names its slices, ``[T, B]``."""
    if SHARE * (slices.image.nbytes + slices.brain.nbytes) <= free_memory(device):
        return resident(slices, order, device)
    return (Batch.read(slices, rows, device) for rows in order)


def resident(slices: Slices, order: NDArray[np.int64], device: torch.device) -> Iterator[Batch]:
    """Yield the same batches from slices and rows that were copied to the device before."""
    everyone = np.arange(len(slices))
    read = [
        Batch.read(slices, rows, device)
        for rows in np.array_split(everyone, -(-len(slices) // _AT_ONCE))
    ]
    image, brain, z = (
        torch.cat(part)
        for part in zip(*((one.image, one.brain, one.z) for one in read), strict=True)
    )
    masks = [one.lesion for one in read if one.lesion is not None]
    lesion = torch.cat(masks) if masks else None
    del read, masks
    for rows in torch.from_numpy(order).to(device):
        drawn = None if lesion is None else lesion[rows]
        yield Batch(image[rows], brain[rows], z[rows], slices.spacing, drawn)


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU; 0 for the CPU, which reads slices where they are."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
