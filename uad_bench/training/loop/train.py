"""The training loop of every deep method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import FitContext, FitReport, Slices
from uad_bench.models.batches import Batch, enough_memory, shuffled
from uad_bench.training.loop.arithmetic import casting, repeatable
from uad_bench.training.loop.feed import feed
from uad_bench.training.loop.params import TrainingParams
from uad_bench.training.loop.progress import Progress
from uad_bench.training.loop.selection import Selection
from uad_bench.training.loop.trainable import Loss, Player, Trainable, Turn

PARTS = 100
"""Parts of a run after each of which the learning rate decays, however long the run is."""

REPORT_EVERY = 10
"""Steps between two reports of progress."""

MAX_GRADIENT_NORM = 0.5
"""Gradients are clipped to this norm, which keeps a loss from exploding early."""

MIN_MOMENTUM = 0.03
"""Weight of one batch in the running statistics, once the run is longer than its inverse."""


def train_players(
    trainable: Trainable,
    params: TrainingParams,
    train: Slices,
    validation: Slices,
    context: FitContext,
) -> FitReport:
    """Train in place, and leave every player in the state that did best on validation slices.

    A GPU is not waited for in a step, but only where progress is reported or states are compared.
    A training whose state was kept goes on from there, and comes to the same as without a break.

    Args:
        trainable: what says the loss; its players are on the context's device.
        params: hyper-parameters.
        train: healthy slices.
        validation: healthy slices of other subjects.
        context: seed, device and where progress is reported.

    Raises:
        DivergenceError: if a loss is no longer finite.
        DeviceMemoryError: if the device has too little memory.
        UadBenchError: if there are fewer training slices than a batch has.
    """
    if len(train) < params.batch_size:
        raise UadBenchError(
            f"{len(train)} training slices do not fill a batch of {params.batch_size}; "
            "add healthy subjects or lower batch_size"
        )
    players = trainable.players
    turns = [player for player in players for _ in range(player.turns)]
    drawn = params.batch_size * len(turns)  # slices per step
    generator = torch.Generator(context.device).manual_seed(context.seed)
    rows = shuffled(len(train), params.batch_size, np.random.default_rng(context.seed))
    order = np.stack([next(rows) for _ in range(params.steps * len(turns))])
    optimisers = {one.name: trainable.optimiser(one, params.learning_rate) for one in players}
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: params.decay ** _decays(step, step * drawn // len(train), params),
        )
        for optimiser in optimisers.values()
    ]
    checked = {round(params.steps * (part + 1) / params.checks) for part in range(params.checks)}
    selection = Selection.make(trainable, validation, params.batch_size, context)
    progress = Progress(trainable, optimisers, schedules, generator, selection)
    modules = nn.ModuleList(one.module for one in players).modules()
    norms = [layer for layer in modules if isinstance(layer, nn.BatchNorm2d)]
    losses: dict[str, Loss] = {}
    unseen: list[tuple[int, Player, Tensor]] = []

    with (
        repeatable(generator.device, params),
        enough_memory(context.device, "lower batch_size, or train with --device cpu"),
        context.checkpoint() as checkpoint,
    ):
        step = 0 if checkpoint is None else progress.resume(checkpoint)
        batches = feed(train, order[step * len(turns) :], generator.device, trainable.prepared)
        while step < params.steps and selection.since != params.patience:
            step += 1
            for player in players:
                player.module.train()
            for norm in norms:  # a plain mean at first, so that short runs are not biased
                norm.momentum = max(1 / step, MIN_MOMENTUM)
            for player in turns:
                turn = Turn(player.name, step, generator)
                losses[player.name] = _learn(
                    trainable,
                    player,
                    next(batches),
                    turn,
                    params=params,
                    optimiser=optimisers[player.name],
                )
                unseen.append((step, player, losses[player.name].value.detach().float()))
            for schedule in schedules:
                schedule.step()
            if step % REPORT_EVERY == 0 or step in checked:
                _refuse_divergence(unseen, params, trainable)
                unseen.clear()
            if step % REPORT_EVERY == 0 or step == params.steps:
                context.report(step, _shown(losses))
            if step in checked:
                context.checked(step, selection.check(step))
            if checkpoint is not None and checkpoint.is_due():
                _refuse_divergence(unseen, params, trainable)
                unseen.clear()
                progress.keep(step, checkpoint)
    if not selection.states:
        raise DivergenceError(_diverged(step, params, trainable))
    selection.restore()
    notes = (f"{_count_weights(players)} weights", *trainable.notes)
    if step < params.steps:
        notes += (f"stopped at step {step} of {params.steps}: {selection.since} checks in vain",)
    return FitReport(
        steps=step,
        slices_seen=step * drawn,
        validation=selection.metrics,
        curves={name: tuple(points) for name, points in selection.curves.items()},
        notes=notes,
    )


def _learn(
    trainable: Trainable,
    player: Player,
    batch: Batch,
    turn: Turn,
    *,
    params: TrainingParams,
    optimiser: torch.optim.Optimizer,
) -> Loss:
    """Take a step of one player, in the precision of the training, and return its loss."""
    with casting(turn.generator.device, params):
        loss = trainable.loss(batch, turn)
    optimiser.zero_grad(set_to_none=True)
    loss.value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(player.module.parameters(), MAX_GRADIENT_NORM)
    optimiser.step()
    return loss


def _decays(step: int, epoch: int, params: TrainingParams) -> int:
    """How often the learning rate has decayed after ``step`` steps."""
    return epoch if params.decay_per == "epoch" else PARTS * step // params.steps


def _shown(losses: Mapping[str, Loss]) -> dict[str, float]:
    """What is reported of the last loss of each player, with its name if there are several."""
    return {
        part if len(losses) == 1 else f"{player} {part}": value.item()
        for player, loss in losses.items()
        for part, value in {"loss": loss.value, **loss.parts}.items()
    }


def _count_weights(players: tuple[Player, ...]) -> int:
    return sum(weight.numel() for one in players for weight in one.module.parameters())


def _refuse_divergence(
    losses: Sequence[tuple[int, Player, Tensor]], params: TrainingParams, trainable: Trainable
) -> None:
    """Stop at the first loss that is not finite.

    Args:
        losses: of each turn since the last look, in order: its step, player and value.
        params: hyper-parameters.
        trainable: what said them.

    Raises:
        DivergenceError: naming the step and the player.
    """
    if not losses:
        return
    finite = torch.stack([value for _, _, value in losses]).isfinite().tolist()
    for (step, player, _), is_finite in zip(losses, finite, strict=True):
        if not is_finite:
            raise DivergenceError(_diverged(step, params, trainable, player))


def _diverged(
    step: int, params: TrainingParams, trainable: Trainable, player: Player | None = None
) -> str:
    """What to say of a loss that is not finite: a player's, or that of every check."""
    whose = f" of {player.name}" if player is not None and len(trainable.players) > 1 else ""
    names = (*trainable.suspects, "learning_rate")
    values = ", ".join(f"{name} {getattr(params, name):g}" for name in names)
    cure = " or ".join(reversed(names))
    return f"the loss{whose} is no longer finite at step {step} ({values}); lower {cure}"
