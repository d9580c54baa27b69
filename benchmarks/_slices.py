"""Slices of noise and untrained detectors, of the paper's size, to time training and scoring."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import cycle
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from uad_bench.method import TISSUES, FitContext, Slices, TissuePrior
from uad_bench.models.batches import Batch
from uad_bench.training import Turn, VariationalReconstruction
from uad_bench.training.loop.train import MAX_GRADIENT_NORM

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


def detector(
    name: str, context: FitContext, *, width: int = WIDTH, **params: Any
) -> VariationalReconstruction:
    """Return an untrained detector: ``vae`` or ``spa``."""
    method = getattr(import_module(f"uad_bench.methods.{name}"), name.upper())
    made = cast("VariationalReconstruction", method(method.Params(width=width, **params)))
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


class PlainLoop:
    """The same network, loss and optimiser in a loop as one would write it.

    Args:
        name: ``vae`` or ``spa``.
        batches: what it learns from.
        here: where it is trained.
        half: whether the loss is computed in bfloat16 where torch's autocast thinks it safe.
        params: of the method.
    """

    def __init__(
        self,
        name: str,
        batches: Iterator[Batch],
        here: FitContext,
        *,
        half: bool = False,
        **params: Any,
    ) -> None:
        kind = torch.device(here.device).type
        self.casting = torch.autocast(kind, torch.bfloat16, enabled=half)
        method = detector(name, here, **params)
        self.batches = batches
        self.network = method.network_.train()
        self.trainable = method.trainable(here)
        self.optimiser = torch.optim.Adam(self.network.parameters(), method.params.learning_rate)
        self.generator = torch.Generator(here.device).manual_seed(here.seed)

    def step(self) -> Tensor:
        """Learn from one batch, and return its loss."""
        turn = Turn("network", 1, self.generator)
        with self.casting:
            loss = self.trainable.loss(next(self.batches), turn).value
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        return loss.detach()


def in_memory(data: Slices, size: int) -> Iterator[Batch]:
    """Yield batches for ever, made before on the CPU."""
    rows = np.arange(len(data)).reshape(-1, size)
    return cycle([Batch.read(data, some, torch.device("cpu")) for some in rows])
