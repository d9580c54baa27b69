"""Methods that noise a slice and take the noise off again, by a network of healthy slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor

from uad_bench.method import FitContext, FitReport, Params, Slices
from uad_bench.models.batches import Batch
from uad_bench.models.diffusion.denoiser import Denoiser
from uad_bench.models.diffusion.noise import NoiseName, draw_noise, noise_of_slices
from uad_bench.models.diffusion.schedule import TIMES, centred, noised, shown, without_noise
from uad_bench.models.losses.pixelwise import absolute_error
from uad_bench.training.deep import DeepReconstruction
from uad_bench.training.loop.params import TrainingParams
from uad_bench.training.loop.trainable import Loss, Player, Trainable, Turn


class DenoiserParams(TrainingParams):
    """Hyper-parameters of a network that is told how far from healthy its input is."""

    steps: int = Field(default=1000, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    width: int = Field(default=16, ge=2, le=256)
    """Filters at full size."""


class DenoiserMethod(DeepReconstruction):
    """A method whose one network sees slices, and a time: how much of them is to be undone."""

    objective: ClassVar[tuple[str, ...]] = ("misfit",)
    budget: ClassVar[tuple[str, ...]] = ("width", "steps", "batch_size")
    Params: ClassVar[type[Params]] = DenoiserParams
    params: DenoiserParams
    network_: Denoiser

    def build(self) -> None:
        """Set the untrained network."""
        network = Denoiser(1, self.params.width)
        self.network_ = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train, and look at what the network makes of healthy slices.

        Raises:
            DivergenceError: if a loss is no longer finite, or the network makes one slice of all.
        """
        report = super().fit(train, validation, context)
        self.refuse_collapse(self.reconstruct, validation)
        return report


class DiffusionParams(DenoiserParams):
    """Hyper-parameters of a network that takes noise off slices."""

    noise: NoiseName = "simplex"
    """The noise, in training and after it: white Gaussian noise, or simplex noise of six octaves
    from 64 mm on."""
    trained_to: int = Field(default=500, ge=1, le=TIMES)
    """Steps of noise, of the schedule's 1000, as far as which the network learns."""
    start: int = Field(default=140, ge=1)
    """Steps of noise that a slice is given; as many are taken off."""

    @model_validator(mode="after")
    def _is_trained_for(self) -> Self:
        faults = self.faults()
        if faults:
            raise PydanticCustomError("schedule", "{faults}", {"faults": "; ".join(faults)})
        return self

    def faults(self) -> list[str]:
        """Return what contradicts itself, one text each."""
        if self.start <= self.trained_to:
            return []
        return [
            f"start {self.start} is more noise than trained_to {self.trained_to}; "
            "lower start or raise trained_to"
        ]


class DiffusionMethod(DenoiserMethod):
    """A method that gives a slice noise. What its network is asked for is up to the method."""

    Params: ClassVar[type[Params]] = DiffusionParams
    params: DiffusionParams
    seed_: int

    def trainable(self, context: FitContext) -> Trainable:  # noqa: ARG002
        """Return the training on the noise."""
        return NoiseTraining(self.network_, self.params)

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train; the noise of scoring follows from the seed too.

        Raises:
            DivergenceError: if a loss is no longer finite, or the network makes one slice of all.
        """
        self.seed_ = context.seed
        return super().fit(train, validation, context)

    def noise_for(self, batch: Batch) -> Tensor:
        """Return a slice's own noise ``[B, 1, H, W]``, the same whatever it comes with."""
        spacing = batch.spacing[1:]
        return noise_of_slices(self.params.noise, batch.image, batch.z, spacing, (self.seed_,))


class NoiseTraining(Trainable):
    """The network is given a slice with noise, and learns to say what the noise is.

    Ho et al. 2020: the mean squared difference between the noise and what the network takes for
    it, at times drawn evenly from 1 to ``trained_to``. The validation's ``misfit`` is this too, and
    ``l1`` how far from the slice the network is when it takes all noise off at once.
    """

    def __init__(self, network: Denoiser, params: DiffusionParams) -> None:
        self.network, self.params = network, params

    @property
    def players(self) -> tuple[Player, ...]:
        """The network."""
        return (Player("network", self.network),)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Return the loss of a batch."""
        given, time, noise = noisy_example(batch, self.params, turn.generator)
        return Loss((self.network(given, time) - noise).square().mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return the misfit of the noise, and L1 of the slice."""
        given, time, noise = noisy_example(batch, self.params, generator)
        found = self.network(given, time)
        made = shown(without_noise(given, time, found)) * batch.brain
        misfit = (found - noise).square().mean(dim=(1, 2, 3))
        return {"misfit": misfit, "l1": absolute_error(batch.image, made)}


def noisy_example(
    batch: Batch, params: DiffusionParams, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return noised slices, their times and the noise, each slice's drawn on its own.

    Args:
        batch: healthy slices.
        params: of the schedule and the noise.
        generator: source of every draw.
    """
    count, _, height, width = batch.image.shape
    device = batch.image.device
    time = torch.randint(1, params.trained_to + 1, (count,), generator=generator, device=device)
    shape = (count, height, width)
    noise = draw_noise(params.noise, shape, batch.spacing[1:], generator)
    return noised(centred(batch.image), time, noise), time, noise
