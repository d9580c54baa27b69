"""Slices as tensors: batches drawn for training, and single slices for everything after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uad_bench.method import Slices


@dataclass(frozen=True, slots=True)
class Batch:
    """Some slices as tensors on a device: image and brain ``[B, 1, H, W]``, atlas index ``[B]``."""

    image: Tensor
    brain: Tensor
    z: Tensor

    @classmethod
    def read(cls, slices: Slices, rows: NDArray[np.int64], device: torch.device) -> Batch:
        """Copy the given rows out of slices that may be memory maps."""
        image = np.asarray(slices.image[rows], np.float32)
        brain = np.asarray(slices.brain[rows], np.bool_)
        z = np.asarray(slices.z[rows], np.int64)
        return cls(*(torch.from_numpy(values).to(device) for values in (image, brain, z)))


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of ``count`` rows, evenly spread, the first and last among them."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def one_by_one(
    slices: Slices, network: nn.Module, rows: Iterable[int] | None = None
) -> Iterator[Batch]:
    """Yield the slices of the given rows, or all, one by one, on the network's device.

    One at a time, so that the bits of one never depend on which others it came with.
    """
    device = next(network.parameters()).device
    for row in range(len(slices)) if rows is None else rows:
        yield Batch.read(slices, np.array([row]), device)


def shuffled(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield batches of rows for ever: a new permutation of all rows after each pass."""
    pool = np.empty(0, np.int64)
    while True:
        while len(pool) < size:
            pool = np.concatenate([pool, rng.permutation(count)])
        batch, pool = np.sort(pool[:size]), pool[size:]
        yield batch
