"""Slices of noise and untrained detectors, of the paper's size, to time training and scoring."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from uad_bench.method import TISSUES, FitContext, Slices, TissuePrior
from uad_bench.training import VariationalReconstruction

SHAPE = (128, 112)
DEPTH = 32
WIDTH = 32
METHODS = ("vae", "spa")


def slices(count: int) -> Slices:
    """Return noise in an ellipse, as the slices of scans of :data:`DEPTH` slices."""
    rng = np.random.default_rng(0)
    rows, columns = (np.linspace(-1.15, 1.15, size) for size in SHAPE)
    brain = np.broadcast_to(rows[:, None] ** 2 + columns**2 < 1, (count, 1, *SHAPE))
    image = np.where(brain, rng.uniform(0.2, 0.7, brain.shape), 0).astype(np.float32)
    return Slices(image, brain.copy(), np.arange(count) % DEPTH, (2.0, 1.5, 1.5))


def detector(name: str, context: FitContext, **params: Any) -> VariationalReconstruction:
    """Return an untrained detector of width 32: ``vae`` or ``spa``."""
    method = getattr(import_module(f"uad_bench.methods.{name}"), name.upper())
    made = cast("VariationalReconstruction", method(method.Params(width=WIDTH, **params)))
    made.initialise(context)
    return made


def context(device: str = "cpu", **given: Any) -> FitContext:
    """Return a context with a tissue prior that knows nothing."""
    flat = np.full((len(TISSUES), DEPTH, *SHAPE), 1 / len(TISSUES), np.float32)
    prior = TissuePrior(flat, np.full_like(flat, 0.05), "no atlas")
    return FitContext(seed=0, device=device, tissue_prior=prior, **given)


def as_torch_has_it(network: nn.Module) -> None:
    """Give the network torch's own memory format, NCHW."""
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
