"""How a training computes: in which precision, and whether a GPU repeats itself to the bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from uad_bench.training.loop.params import TrainingParams


@contextmanager
def repeatable(device: torch.device, params: TrainingParams) -> Iterator[None]:
    """Hold torch to algorithms that repeat themselves, or free it from them, for the block.

    What else the user set stays, such as whether a GPU rounds factors to 10 bits (``allow_tf32``).

    A CPU repeats itself in any case. An operation that a GPU cannot repeat is done all the same,
    with torch's warning.

    Args:
        device: where the training, or a score by gradients, is computed.
        params: ``deterministic`` says which.
    """
    asked = params.deterministic and device.type == "cuda"
    if asked:  # cuBLAS reads it when it begins
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    flags = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = not params.deterministic, params.deterministic
    torch.use_deterministic_algorithms(before or asked, warn_only=warned or asked)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
        cudnn.benchmark, cudnn.deterministic = flags


def casting(device: torch.device, params: TrainingParams) -> torch.autocast:
    """Return a block in which torch computes in the training's precision where that is safe.

    Args:
        device: where the training is.
        params: ``precision`` says in which.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=params.precision == "bfloat16")
