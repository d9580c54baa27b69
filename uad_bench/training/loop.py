"""The training loop of the deep methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import FitContext, FitReport, Slices
from uad_bench.models.batches import Batch, shuffled
from uad_bench.models.gaussians import Gaussian
from uad_bench.models.variational import VariationalNetwork
from uad_bench.training.objective import Objective
from uad_bench.training.params import TrainingParams
from uad_bench.training.selection import Exam, Selection, example

PARTS = 100
"""Parts of a run after each of which the learning rate decays, however long the run is."""

REPORT_EVERY = 10
"""Steps between two reports of progress."""

MAX_GRADIENT_NORM = 0.5
"""Gradients are clipped to this norm, which keeps the divergence from exploding early."""

MIN_MOMENTUM = 0.03
"""Weight of one batch in the running statistics, once the run is longer than its inverse."""


def train_network(
    network: VariationalNetwork[Any],
    params: TrainingParams,
    train: Slices,
    validation: Slices,
    context: FitContext,
) -> FitReport:
    """Train ``network`` in place, and leave it in the state with the best validation loss.

    The loss is that of :class:`Objective`; the reconstruction is multiplied by the brain mask here
    as it is when it is used. The state kept has the lowest ``misfit + beta KL`` on validation
    slices, where the misfit of the paper's loss is L1.

    Args:
        network: the network, on the context's device.
        params: hyper-parameters.
        train: healthy slices.
        validation: healthy slices of other subjects.
        context: seed, device and where progress is reported.

    Raises:
        DivergenceError: if the loss is no longer finite.
        UadBenchError: if there are fewer training slices than a batch has, or the perceptual loss
            has no weights.
    """
    if len(train) < params.batch_size:
        raise UadBenchError(
            f"{len(train)} training slices do not fill a batch of {params.batch_size}; "
            "add healthy subjects or lower batch_size"
        )
    objective = Objective.make(params, network, context.device)
    generator = torch.Generator(context.device).manual_seed(context.seed)
    rows = shuffled(len(train), params.batch_size, np.random.default_rng(context.seed))
    optimiser = torch.optim.Adam(network.parameters(), lr=params.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: params.decay ** _decays(step, len(train), params)
    )
    checked = {round(params.steps * (part + 1) / params.checks) for part in range(params.checks)}
    selection = Selection(Exam.make(validation, params, context), objective)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    cleaned = torch.zeros(2, dtype=torch.int64, device=generator.device)

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for step in range(1, params.steps + 1):
            batch = Batch.read(train, next(rows), generator.device)
            image, target = example(batch, train.spacing, params, generator)
            if params.clean_target:
                cleaned += _changed(batch.image, target)
            network.train()
            for norm in norms:  # a plain mean at first, so that short runs are not biased
                norm.momentum = max(1 / step, MIN_MOMENTUM)
            predicted, divergence = network(image, batch.z, generator)
            predicted = Gaussian(predicted.mean * batch.brain, predicted.log_variance)
            weight = params.divergence_weight_at(step)
            loss, parts = objective(target, predicted, batch.brain, divergence, weight)
            if not torch.isfinite(loss):
                raise DivergenceError(_diverged(step, params))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimiser.step()
            schedule.step()
            if step % REPORT_EVERY == 0 or step == params.steps:
                context.report(step, {name: part.item() for name, part in parts.items()})
            if step in checked:
                selection.check(step)
                if selection.since == params.patience:
                    break
    if not selection.state:
        raise DivergenceError(_diverged(step, params))
    network.load_state_dict(selection.state)
    notes = _notes(objective, context)
    drawn = step * params.batch_size
    if params.clean_target:
        pixels, slices = cleaned.tolist()
        notes += (f"target cleaned of {pixels} pixels in {slices} of {drawn} slices drawn",)
    if step < params.steps:
        notes += (f"stopped at step {step} of {params.steps}: {selection.since} checks in vain",)
    return FitReport(
        steps=step,
        slices_seen=drawn,
        validation=selection.marks,
        curves={
            f"validation_{metric}": tuple(points) for metric, points in selection.curves.items()
        },
        notes=notes,
    )


def _decays(step: int, slices: int, params: TrainingParams) -> int:
    """How often the learning rate has decayed after ``step`` steps."""
    if params.decay_per == "epoch":
        return step * params.batch_size // slices
    return PARTS * step // params.steps


def _changed(before: Tensor, after: Tensor) -> Tensor:
    """The number of pixels that differ, and of slices that have one, ``[2]``."""
    differs = (before != after).flatten(1)
    return torch.stack((differs.sum(), differs.any(dim=1).sum()))


def _diverged(step: int, params: TrainingParams) -> str:
    weight = params.divergence_weight
    beta, cure = (f"beta {weight:g}, ", " or beta") if weight else ("", "")
    return (
        f"the loss is no longer finite at step {step} ({beta}learning_rate "
        f"{params.learning_rate:g}); lower the learning rate{cure}"
    )


def _notes(objective: Objective, context: FitContext) -> tuple[str, ...]:
    size = sum(weight.numel() for weight in objective.network.parameters())
    if objective.params.loss == "native":
        loss = "native loss"
    elif objective.perceptual is None:
        loss = "no perceptual loss"
    else:
        loss = f"perceptual loss: {objective.perceptual.source}"
    notes = (f"{size} weights", loss)
    if context.tissue_prior is None:
        return notes
    return (*notes, f"tissue prior: {context.tissue_prior.source}")
