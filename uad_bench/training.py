"""One training loop for every deep method, and the base class that ties it to the contract."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from uad_bench.errors import DivergenceError
from uad_bench.method import (
    FitContext,
    FitReport,
    FloatArray,
    Params,
    ReconstructionMethod,
    Slices,
    TissuePrior,
    tunable,
)
from uad_bench.models.batches import Batch, one_by_one, shuffled
from uad_bench.models.gaussians import NormScope, Sampler
from uad_bench.models.losses import absolute_error, total_variation
from uad_bench.models.perceptual import PerceptualDistance, PerceptualName, load_lite0, load_vgg19
from uad_bench.models.self_supervision import paint_rectangles
from uad_bench.models.variational import VariationalNetwork

EPOCHS = 100
"""Parts of a run after each of which the learning rate decays, however long the run is."""

CHECKS = 4
"""How often a run looks at the healthy validation slices; the best state is kept."""

VALIDATION_SLICES = 40
"""How many validation slices, evenly spread, each check sees."""

REPORT_EVERY = 10
"""Steps between two reports of progress."""

MAX_GRADIENT_NORM = 0.5
"""Gradients are clipped to this norm, which keeps the divergence from exploding early."""


MIN_MOMENTUM = 0.03
"""Weight of one batch in the running statistics, once the run is longer than its inverse."""


class DeepParams(Params):
    """Hyper-parameters that every deep method has.

    Attributes:
        beta: weight of the divergence in the loss.
        snr: signal-to-noise ratio of the latent's noise (Bercea et al. 2022, section 2.2).
        reparameterisation: ``snr``, or ``plain`` for noise that does not scale with the signal.
        norm_scope: whether the norms of ``snr`` run over a sample or over the whole batch.
        width: filters of the first block; the paper's size is 32.
        steps: optimiser steps.
        batch_size: slices per step.
        learning_rate: of Adam, at the start.
        decay: factor on the learning rate after each hundredth of the run.
        tv_weight: weight of the reconstruction's total variation; 1 in the paper.
        rectangles: whether bright rectangles are painted into the input, to be left out.
        perceptual_weight: weight of the perceptual distance; 0.1 in the paper.
        perceptual: the network in whose features it is taken; the paper's is ``vgg19``.
        vgg19_weights: file with the ImageNet weights of VGG19, in torchvision's layout.
        vgg19_sha256: checksum that this file must have.
    """

    beta: float = tunable(1e-5, 1e-5, 1e-2, log=True, ge=0.0)
    snr: float = tunable(16.0, 4.0, 64.0, log=True, gt=0.0)
    reparameterisation: Literal["snr", "plain"] = "snr"
    norm_scope: NormScope = "sample"
    width: int = Field(default=16, ge=2, le=256)
    steps: int = Field(default=300, ge=1)
    batch_size: int = Field(default=4, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    decay: float = Field(default=0.97, gt=0.0, le=1.0)
    tv_weight: float = Field(default=0.1, ge=0.0)
    rectangles: bool = True
    perceptual_weight: float = Field(default=0.0, ge=0.0)
    perceptual: PerceptualName = "efficientnet-lite0"
    vgg19_weights: Path | None = None
    vgg19_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        if self.perceptual_weight and self.perceptual == "vgg19" and self.vgg19_weights is None:
            raise ValueError("perceptual vgg19 needs a weight file: set vgg19_weights")
        return self

    @property
    def sampler(self) -> Sampler:
        """How the latent is sampled in training."""
        return Sampler(self.snr if self.reparameterisation == "snr" else None, self.norm_scope)


class DeepReconstruction(ReconstructionMethod):
    """A reconstruction method that is a :class:`VariationalNetwork` and its hyper-parameters."""

    objective: ClassVar[tuple[str, ...]] = ("l1", "kl")
    Params: ClassVar[type[Params]] = DeepParams
    params: DeepParams
    network_: VariationalNetwork[Any]

    @abstractmethod
    def network(self, prior: TissuePrior | None) -> VariationalNetwork[Any]:
        """Return the untrained network.

        Args:
            prior: the tissue prior, where the method needs one; ``None`` when a trained state is
                restored, which needs no divergence.
        """

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train on healthy slices and keep the state that does best on the validation slices.

        Raises:
            DivergenceError: if the loss is no longer finite.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            network = self.network(context.tissue_prior)
        self.network_ = network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return train_network(self.network_, self.params, train, validation, context)

    @torch.inference_mode()
    def reconstruct(self, slices: Slices) -> FloatArray:
        """Return pseudo-healthy slices ``[N, 1, H, W]`` in [0, 1], 0 outside the brain."""
        self.network_.eval()
        result = [
            (self.network_.reconstruct(batch.image) * batch.brain).cpu().numpy()
            for batch in one_by_one(slices, self.network_)
        ]
        return np.concatenate(result)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the weights and the running statistics."""
        weights = self.network_.state_dict().items()
        return {name: np.array(value.cpu().numpy(), order="C") for name, value in weights}

    def load(self, state: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        """Restore what :meth:`state` returned."""
        network = self.network(None)
        network.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        self.network_ = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def train_network(
    network: VariationalNetwork[Any],
    params: DeepParams,
    train: Slices,
    validation: Slices,
    context: FitContext,
) -> FitReport:
    """Train ``network`` in place, and leave it in the state with the best validation loss.

    The loss is ``L1 + tv_weight TV + perceptual_weight PL + beta KL`` (Bercea et al. 2022, eq. 3);
    the reconstruction is multiplied by the brain mask here as it is when it is used. The state
    kept has the lowest ``L1 + beta KL`` on validation slices.

    Args:
        network: the network, on the context's device.
        params: hyper-parameters.
        train: healthy slices.
        validation: healthy slices of other subjects.
        context: seed, device and where progress is reported.

    Raises:
        DivergenceError: if the loss is no longer finite.
        UadBenchError: if the perceptual loss has no weights.
    """
    perceptual = _perceptual_distance(params, context.device)
    generator = torch.Generator(context.device).manual_seed(context.seed)
    rows = shuffled(len(train), params.batch_size, np.random.default_rng(context.seed))
    optimiser = torch.optim.Adam(network.parameters(), lr=params.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: params.decay ** (EPOCHS * step // params.steps)
    )
    checked = {round(params.steps * (part + 1) / CHECKS) for part in range(CHECKS)}
    exam = _Exam.make(validation, params, context)
    curves: dict[str, list[tuple[int, float]]] = {"loss": [], "l1": [], "kl": []}
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    best: dict[str, float] = {}
    best_state: dict[str, Tensor] = {}
    best_loss = float("inf")

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for step in range(1, params.steps + 1):
            batch = Batch.read(train, next(rows), generator.device)
            image = _corrupt(batch, train.spacing, params, generator)
            network.train()
            for norm in norms:  # a plain mean at first, so that short runs are not biased
                norm.momentum = max(1 / step, MIN_MOMENTUM)
            reconstruction, divergence = network(image, batch.z, generator)
            reconstruction = reconstruction * batch.brain
            l1 = absolute_error(batch.image, reconstruction).mean()
            kl = divergence.mean()
            smoothness = total_variation(reconstruction).mean()
            loss = l1 + params.tv_weight * smoothness + params.beta * kl
            if perceptual is not None:
                distance = perceptual(batch.image, reconstruction).mean()
                loss = loss + params.perceptual_weight * distance
            if not torch.isfinite(loss):
                raise DivergenceError(_diverged(step, params))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimiser.step()
            schedule.step()
            if step % REPORT_EVERY == 0 or step == params.steps:
                values = {"loss": loss.item(), "l1": l1.item(), "kl": kl.item()}
                context.report(step, values)
            if step in checked:
                marks = exam.take(network)
                value = marks["l1"] + params.beta * marks["kl"]
                for metric, number in {"loss": value, **marks}.items():
                    curves[metric].append((step, number))
                if value < best_loss:
                    best, best_loss = marks, value
                    best_state = copy.deepcopy(network.state_dict())
    if not np.isfinite(best_loss):
        raise DivergenceError(_diverged(params.steps, params))
    network.load_state_dict(best_state)
    return FitReport(
        steps=params.steps,
        slices_seen=params.steps * params.batch_size,
        validation=best,
        curves={f"validation_{metric}": tuple(points) for metric, points in curves.items()},
        notes=_notes(network, perceptual, context),
    )


@dataclass(frozen=True, slots=True)
class _Exam:
    """The same validation batches, painted the same way, at every check."""

    batches: tuple[tuple[Tensor, Batch], ...]

    @classmethod
    def make(cls, validation: Slices, params: DeepParams, context: FitContext) -> _Exam:
        generator = torch.Generator(context.device).manual_seed(context.seed + 1)
        count = min(len(validation), VALIDATION_SLICES)
        rows = np.linspace(0, len(validation) - 1, count).round().astype(np.int64)
        parts = np.array_split(rows, -(-count // params.batch_size))
        batches = (Batch.read(validation, part, generator.device) for part in parts)
        return cls(
            tuple(
                (_corrupt(batch, validation.spacing, params, generator), batch) for batch in batches
            )
        )

    @torch.inference_mode()
    def take(self, network: VariationalNetwork[Any]) -> dict[str, float]:
        """Return L1 and KL over the validation slices, without noise."""
        network.eval()
        l1, kl, count = 0.0, 0.0, 0
        for image, batch in self.batches:
            reconstruction, divergence = network(image, batch.z)
            l1 += absolute_error(batch.image, reconstruction * batch.brain).sum().item()
            kl += divergence.sum().item()
            count += len(image)
        return {"l1": l1 / count, "kl": kl / count}


def _corrupt(
    batch: Batch,
    spacing: tuple[float, float, float],
    params: DeepParams,
    generator: torch.Generator,
) -> Tensor:
    """Return the network's input: the slices, with rectangles where the method wants them."""
    if not params.rectangles:
        return batch.image
    return paint_rectangles(batch.image, batch.brain, spacing[1:], generator)


def _perceptual_distance(params: DeepParams, device: str) -> PerceptualDistance | None:
    """Load the perceptual distance, where the loss has one."""
    if not params.perceptual_weight:
        return None
    if params.perceptual == "vgg19" and params.vgg19_weights is not None:
        return load_vgg19(params.vgg19_weights, params.vgg19_sha256, device)
    return load_lite0(device)


def _diverged(step: int, params: DeepParams) -> str:
    return (
        f"the loss is no longer finite at step {step} (beta {params.beta:g}, learning_rate "
        f"{params.learning_rate:g}); lower the learning rate or beta"
    )


def _notes(
    network: nn.Module, perceptual: PerceptualDistance | None, context: FitContext
) -> tuple[str, ...]:
    size = sum(weight.numel() for weight in network.parameters())
    loss = "no perceptual loss" if perceptual is None else f"perceptual loss: {perceptual.source}"
    notes = (f"{size} weights", loss)
    if context.tissue_prior is None:
        return notes
    return (*notes, f"tissue prior: {context.tissue_prior.source}")
