"""Detectors that compare the features of a slice with those of healthy people."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, FloatArray, Method, Params, Slices
from uad_bench.models.backbones import (
    CHANNELS,
    STRIDE,
    Backbone,
    BackboneName,
    find_backbone,
    load_backbone,
    on_grid,
    share_inside,
)
from uad_bench.models.batches import Batch, enough_memory, in_batches
from uad_bench.models.features.normaliser import Normaliser
from uad_bench.models.scores import bounded, typical
from uad_bench.training.deep import DeepMethod
from uad_bench.training.loop.params import TrainingParams
from uad_bench.training.loop.train import train_players

_AT_ONCE = 8
_LEAST_SD = 1e-6


class FeatureParams(Params):
    """Hyper-parameters of the methods that compare features."""

    backbone: BackboneName = "efficientnet-lite0"
    """The pretrained network whose features are compared; all but the default one and ``hd-bet``
    need ``weights``."""
    weights: Path | None = None
    """File with the network's weights, a state dict."""
    weights_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    """SHA-256 that this file must have, 64 hexadecimal digits."""
    blur_mm: float = Field(default=4.0, ge=0.0, le=100.0)
    """Standard deviation of the Gaussian that smooths a map within its slice, in mm."""


class TrainedFeatureParams(FeatureParams, TrainingParams):
    """Hyper-parameters of the methods that train a network on features."""


class FeatureMethod(Method):
    """A method whose anomaly map is how far features are from healthy ones.

    Its distances have no natural scale. The map is ``s / (s + scale)`` with the scale of healthy
    validation slices, which keeps every ranking.

    Class attributes:
        levels: which of the backbone's layers are looked at, counted from the finest.
    """

    levels: ClassVar[tuple[int, int]] = (0, 3)
    params: FeatureParams
    scale_: float

    @abstractmethod
    def learn(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Learn from healthy slices, once :meth:`features` can be asked."""

    @abstractmethod
    def distance(self, batch: Batch) -> Tensor:
        """Return how far the places of a batch's slices are from healthy ones, ``[B, h, w]``."""

    @property
    def channels(self) -> tuple[int, ...]:
        """How many each of the layers has."""
        return CHANNELS[self.params.backbone][slice(*self.levels)]

    def build(self) -> None:
        """Set the untrained modules."""
        self.normaliser_ = Normaliser(sum(self.channels))

    @classmethod
    def faults(cls, params: Any) -> Iterator[str]:  # noqa: ARG003
        """Yield what is wrong with the parameters for this backbone, one text each."""
        yield from ()

    @classmethod
    def resolve(cls, params: Any) -> Any:
        """Return the parameters with the checksum of the weight file, where the backbone has one.

        A detector is then known by the weights behind it, not by their file's name.

        Raises:
            UadBenchError: if the weights are missing, are others, or are no weights; and what else
                is wrong with the parameters.
        """
        problems, found = list(cls.faults(params)), None
        try:
            found = find_backbone(params.backbone, params.weights, params.weights_sha256)
        except UadBenchError as error:
            problems.append(str(error))
        if problems:
            raise UadBenchError("; ".join(problems))
        return params.model_copy(update={"weights_sha256": found})

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Measure the channels of healthy brains, then learn.

        Raises:
            UadBenchError: if no place of the training slices is brain.
        """
        places = self.places(train)
        if not places:
            raise UadBenchError(
                f"{self.info.name}: no place of the training slices is brain; check their masks"
            )
        self.normaliser_ = Normaliser(sum(self.channels)).to(context.device)
        self.measure(train)
        report = self.learn(train, validation, context)
        notes = (self.backbone(context.device).source, f"{places} places of healthy brains")
        return replace(report, notes=(*notes, *report.notes))

    def measure(self, train: Slices) -> None:
        """Take mean and standard deviation of each channel over healthy brains."""
        total = squares = torch.zeros(sum(self.channels)).double()
        for patches, _, _ in self.patches(train):
            values = patches.cpu().double()
            total = total + values.sum(dim=0)
            squares = squares + values.square().sum(dim=0)
        places = self.places(train)
        mean = total / places
        sd = (squares / places - mean.square()).clamp(min=0).sqrt().clamp(min=_LEAST_SD)
        self.normaliser_.mean.copy_(mean)
        self.normaliser_.sd.copy_(sd)

    def calibrate(
        self,
        validation: Slices,
        context: FitContext,  # noqa: ARG002
    ) -> tuple[str, ...]:
        """Take the scale of healthy validation slices."""
        self.scale_ = typical(self._raw(validation)[validation.brain])
        return (f"scale of the anomaly maps: {self.scale_:.3g}",)

    def score(self, slices: Slices) -> FloatArray:
        """Return the anomaly map ``[N, 1, H, W]`` in [0, 1), 0 outside the brain."""
        return bounded(self._raw(slices), self.scale_)

    def backbone(self, device: torch.device | str) -> Backbone:
        """Return the pretrained network, on a device."""
        params = self.params
        return load_backbone(params.backbone, params.weights, params.weights_sha256, str(device))

    @torch.no_grad()
    def layers(self, batch: Batch) -> list[Tensor]:
        """Return the backbone's layers ``[B, C, h, w]``, as they are, from fine to coarse."""
        return list(islice(self.backbone(batch.image.device).layers(batch), *self.levels))

    def features(self, batch: Batch) -> Tensor:
        """Return normalised features of the grid, ``[B, C, H / 4, W / 4]``."""
        height, width = batch.image.shape[2:]
        features: Tensor = self.normaliser_(on_grid(self.layers(batch), (height, width)))
        return features

    def patches(self, slices: Slices) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield normalised features ``[P, C]`` of places that are mostly brain, batch by batch.

        With each come the index of its slice in the template and its place in the grid, ``[P]``.
        """
        for batch in self._batches(slices):
            features = self.features(batch).flatten(2).transpose(1, 2)
            inside = _mostly_brain(batch.brain)
            slice_, place = inside.nonzero().unbind(dim=1)
            yield features[inside], batch.z[slice_], place

    def places(self, slices: Slices) -> int:
        """Return how many places are mostly brain; no features are computed."""
        starts = range(0, len(slices), _AT_ONCE)
        masks = (torch.tensor(slices.brain[start : start + _AT_ONCE]) for start in starts)
        return sum(int(_mostly_brain(mask).sum()) for mask in masks)

    def _batches(self, slices: Slices) -> Iterator[Batch]:
        """All slices, as many at once as are quick, or scan by scan where the backbone needs it."""
        device = self.normaliser_.mean.device
        if self.backbone(device).whole_scans:
            for scan in slices.scans():
                yield Batch.read(scan, np.arange(len(scan)), device)
            return
        for start in range(0, len(slices), _AT_ONCE):
            yield Batch.read(slices, np.arange(start, min(start + _AT_ONCE, len(slices))), device)

    @torch.inference_mode()
    def _raw(self, slices: Slices) -> FloatArray:
        """The distances ``[N, 1, H, W]`` on the slices' pixels, smoothed, 0 outside the brain."""

        def mapped(batch: Batch) -> Tensor:
            return nn.functional.interpolate(
                self.distance(batch)[:, None],
                scale_factor=STRIDE,
                mode="bilinear",
                align_corners=False,
            )

        device = self.normaliser_.mean.device
        if self.backbone(device).whole_scans:
            with enough_memory(device, "score with --device cpu"):
                maps = [mapped(batch).cpu().numpy() for batch in self._batches(slices)]
            found = np.concatenate(maps)
        else:
            found = in_batches(mapped, slices, self.normaliser_)
        sigma = [self.params.blur_mm / size for size in slices.spacing[1:]]
        smooth = ndimage.gaussian_filter(found, (0, 0, *sigma), mode="nearest")
        return np.asarray(smooth * slices.brain, dtype=np.float32)


class TrainedFeatureMethod(FeatureMethod, DeepMethod):
    """A method that trains networks on the features of a backbone, which stays as it is."""

    params: TrainedFeatureParams

    def learn(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train by the shared loop, and keep the state that does best on validation slices.

        Raises:
            DivergenceError: if the loss is no longer finite.
        """
        measured = self.normaliser_
        self.initialise(context)
        self.normaliser_ = measured
        return train_players(self.trainable(context), self.params, train, validation, context)


def _mostly_brain(brain: Tensor) -> Tensor:
    """Which places ``[B, places]`` are at least half brain, of masks ``[B, 1, H, W]``."""
    return share_inside(brain).flatten(1) >= 0.5


def mean_inside(values: Tensor, brain: Tensor) -> Tensor:
    """Return the mean of each slice's values over places that are mostly brain, ``[B]``.

    0 for a slice without any.

    Args:
        values: ``[B, h, w]``.
        brain: masks ``[B, 1, H, W]``.
    """
    height, width = values.shape[1:]
    share = nn.functional.adaptive_avg_pool2d(brain.float(), (height, width))
    inside = share[:, 0] >= 0.5
    return (values * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1)
