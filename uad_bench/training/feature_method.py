"""Detectors that compare the features of a slice with those of healthy people."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, FloatArray, Method, Params, Slices
from uad_bench.models.backbone import CHANNELS, STRIDE, backbone, embedded, share_inside
from uad_bench.models.batches import Batch, in_batches
from uad_bench.models.perceptual import find_lite0
from uad_bench.models.scores import bounded, typical

_AT_ONCE = 8
_LEAST_SD = 1e-6


class FeatureParams(Params):
    """Hyper-parameters of the methods that compare features."""

    blur_mm: float = Field(default=4.0, ge=0.0)
    """Standard deviation of the Gaussian that smooths a map within its slice, in mm."""


class Normaliser(nn.Module):
    """Brings every channel to mean 0 and standard deviation 1 over healthy brains."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(CHANNELS), requires_grad=False)
        self.sd = nn.Parameter(torch.ones(CHANNELS), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, C, h, w]`` to the same shape."""
        return (features - self.mean[:, None, None]) / self.sd[:, None, None]


class FeatureMethod(Method):
    """A method whose anomaly map is how far features are from healthy ones.

    Its distances have no natural scale. The map is ``s / (s + scale)`` with the scale of healthy
    validation slices, which keeps every ranking.
    """

    params: FeatureParams
    scale_: float

    @abstractmethod
    def learn(self, train: Slices, context: FitContext) -> tuple[str, ...]:
        """Learn from healthy slices, once :meth:`features` can be asked; return notes."""

    @abstractmethod
    def distance(self, features: Tensor, z: Tensor) -> Tensor:
        """Return how far features ``[B, C, h, w]`` are from healthy ones, ``[B, h, w]``.

        Args:
            features: normalised.
            z: the slices' indices in the template, ``[B]``.
        """

    def build(self) -> None:
        """Set the untrained modules."""
        self.normaliser_ = Normaliser()

    @classmethod
    def resolve(cls, params: Any) -> Any:
        """Return the parameters, once the network's weights are found.

        Raises:
            UadBenchError: if they are not installed.
        """
        find_lite0()
        return params

    def fit(
        self,
        train: Slices,
        validation: Slices,  # noqa: ARG002
        context: FitContext,
    ) -> FitReport:
        """Measure the channels of healthy brains, then learn.

        Raises:
            UadBenchError: if no place of the training slices is brain.
        """
        self.normaliser_ = Normaliser().to(context.device)
        count, total, squares = 0, torch.zeros(CHANNELS).double(), torch.zeros(CHANNELS).double()
        for patches, _, _ in self.patches(train):
            values = patches.cpu().double()
            count += len(values)
            total += values.sum(dim=0)
            squares += values.square().sum(dim=0)
        if not count:
            raise UadBenchError(
                f"{self.info.name}: no place of the training slices is brain; check their masks"
            )
        mean = total / count
        sd = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=_LEAST_SD)
        self.normaliser_.mean.copy_(mean)
        self.normaliser_.sd.copy_(sd)
        notes = (backbone(context.device).source, f"{count} places of healthy brains")
        return FitReport(slices_seen=len(train), notes=(*notes, *self.learn(train, context)))

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

    def patches(self, slices: Slices) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield normalised features ``[P, C]`` of places that are mostly brain, batch by batch.

        With each come the index of its slice in the template and its place in the grid, ``[P]``.
        """
        device = self.normaliser_.mean.device
        for start in range(0, len(slices), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(slices)))
            batch = Batch.read(slices, rows, device)
            features = self.normaliser_(embedded(batch.image)).flatten(2).transpose(1, 2)
            inside = share_inside(batch.brain).flatten(1) >= 0.5
            slice_, place = inside.nonzero().unbind(dim=1)
            yield features[inside], batch.z[slice_], place

    @torch.inference_mode()
    def _raw(self, slices: Slices) -> FloatArray:
        """The distances ``[N, 1, H, W]`` on the slices' pixels, smoothed, 0 outside the brain."""

        def mapped(batch: Batch) -> Tensor:
            apart = self.distance(self.normaliser_(embedded(batch.image)), batch.z)
            return nn.functional.interpolate(
                apart[:, None], scale_factor=STRIDE, mode="bilinear", align_corners=False
            )

        found = in_batches(mapped, slices, self.normaliser_)
        sigma = [self.params.blur_mm / size for size in slices.spacing[1:]]
        smooth = ndimage.gaussian_filter(found, (0, 0, *sigma), mode="nearest")
        return np.asarray(smooth * slices.brain, dtype=np.float32)
