"""Slices as tensors: batches drawn for training, and of one fixed size after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uad_bench.errors import DeviceMemoryError
from uad_bench.method import FloatArray, Slices

SIZE = 4
"""Slices in every batch after training; more are no faster on a CPU."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some slices as tensors on a device.

    Attributes:
        image: ``[B, 1, H, W]`` in [0, 1], 0 outside the brain.
        brain: bool ``[B, 1, H, W]``.
        z: the slices' indices in the template, ``[B]``.
        spacing: voxel size ``(z, y, x)`` in mm.
        lesion: uint8 ``[B, 1, H, W]``: 0 healthy, 1 lesion, 2 ignored; ``None`` where the slices
            have no masks.
        target: ``[B, 1, H, W]`` in [0, 1], what a network should make of the slices; ``None`` where
            it is the slices themselves.
    """

    image: Tensor
    brain: Tensor
    z: Tensor
    spacing: tuple[float, float, float]
    lesion: Tensor | None = None
    target: Tensor | None = None

    @classmethod
    def read(cls, slices: Slices, rows: NDArray[np.int64], device: torch.device) -> Batch:
        """Copy the given rows out of slices that may be memory maps. No GPU is waited for."""
        image, brain, z = (
            _copied(values[rows], kind, device)
            for values, kind in (
                (slices.image, np.float32),
                (slices.brain, np.bool_),
                (slices.z, np.int64),
            )
        )
        lesion = None if slices.lesion is None else _copied(slices.lesion[rows], np.uint8, device)
        return cls(image, brain, z, slices.spacing, lesion)


def _copied(values: NDArray[Any], kind: type[np.generic], device: torch.device) -> Tensor:
    part = torch.from_numpy(np.asarray(values, kind))
    return (part.pin_memory() if device.type == "cuda" else part).to(device, non_blocking=True)


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of ``count`` rows, evenly spread, the first and last among them."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def in_batches(
    function: Callable[[Batch], Tensor], slices: Slices, network: nn.Module
) -> FloatArray:
    """Return what a function makes of slices, ``[N, ...]``: batch after batch.

    Each batch has :data:`SIZE` slices; the last is filled up with copies of the last slice. A
    library may compute batches of two sizes in two ways, so one size makes sure that the bits of a
    slice never depend on how many others it came with.

    Args:
        function: takes a batch and returns a tensor ``[B, ...]``, each slice on its own.
        slices: the slices, which may be memory maps.
        network: batches are on its device.

    Raises:
        DeviceMemoryError: if the device has too little memory for one batch.
    """
    device, count = next(network.parameters()).device, len(slices)
    made = []
    with enough_memory(device, "score with --device cpu"):
        for start in range(0, count, SIZE):
            rows = np.arange(start, start + SIZE).clip(max=count - 1)
            made.append(function(Batch.read(slices, rows, device))[: count - start].cpu().numpy())
    return np.concatenate(made)


def free_gpu_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU, with those that torch keeps of what is done, for what comes.

    Without them, what a process did before would decide what there is room for.
    """
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


@contextmanager
def enough_memory(device: torch.device | str, cure: str) -> Iterator[None]:
    """Say in one line that a device has too little memory for what is done inside.

    Args:
        device: the device.
        cure: what to do then.

    Raises:
        DeviceMemoryError: it has too little.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise DeviceMemoryError(f"{device} has too little memory; {cure}") from None
        raise


def shuffled(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield batches of rows for ever: a new permutation of all rows after each pass."""
    pool = np.empty(0, np.int64)
    while True:
        while len(pool) < size:
            pool = np.concatenate([pool, rng.permutation(count)])
        batch, pool = np.sort(pool[:size]), pool[size:]
        yield batch
