"""PaDiM: how unusual features are at their place of the brain (Defard et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench.method import FitContext, FitReport, MethodInfo, Slices
from uad_bench.models.backbones import STRIDE
from uad_bench.models.batches import Batch
from uad_bench.training.feature_method import FeatureMethod, FeatureParams

RIDGE = 0.01
"""Added to the diagonal of every covariance, as in the paper; channels have variance 1."""


class PaDiM(FeatureMethod):
    """One Gaussian of features per place of the template's slices, in bands of a few slices.

    Preset ``paper`` takes the paper's network, whose file you give, and its number of channels; the
    layers, the bands, the prior and the smoothing are ours.

    A place that healthy people seldom have in their brain leans on the Gaussian of all places:
    that one counts as ``prior`` people there.
    """

    class Params(FeatureParams):
        """Hyper-parameters of the Gaussians."""

        channels: int = Field(default=30, ge=1)
        """Channels that are drawn, of 80 of the default backbone."""
        band_mm: float = Field(default=12.0, gt=0.0)
        """Height of a band of slices that share their Gaussians, in mm."""
        prior: float = Field(default=10.0, gt=0.0)
        """Patches that the Gaussian of all places counts as, at each place."""

    info = MethodInfo(
        name="padim",
        title="PaDiM",
        citation="Defard et al. 2021",
        presets={"paper": {"backbone": "resnet18", "channels": 100}},
    )
    params: Params
    slices_: int
    grid_: tuple[int, int]
    bands_: int

    @classmethod
    def faults(cls, params: Any) -> Iterator[str]:
        """Say whether the backbone has too few channels."""
        most = sum(cls(params).channels)
        if params.channels > most:
            yield f"channels {params.channels}, but {params.backbone} has {most}; take fewer"

    def build(self) -> None:
        """Set the empty Gaussians."""
        super().build()
        height, width = self.grid_
        self.gaussians_ = _Gaussians(self.bands_ * height * width, self.params.channels)

    def learn(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Estimate the Gaussians, first of all places together, then of each."""
        height, width = (size // STRIDE for size in train.image.shape[2:])
        self.grid_ = height, width
        self.slices_ = max(1, round(self.params.band_mm / train.spacing[0]))
        self.bands_ = int(train.z.max()) // self.slices_ + 1
        source = torch.Generator().manual_seed(context.seed)
        places, size = self.bands_ * height * width, self.params.channels
        self.gaussians_ = _Gaussians(places, size).to(context.device)
        drawn = torch.randperm(sum(self.channels), generator=source)[:size].sort().values
        self.gaussians_.drawn.copy_(drawn)
        count = torch.zeros(places)
        total, squares = torch.zeros(places, size), torch.zeros(places, size, size)
        for patches, z, place in self.patches(train):
            values, at = patches[:, self.gaussians_.drawn.long()].cpu(), self._at(z, place).cpu()
            count.index_add_(0, at, torch.ones(len(at)))
            total.index_add_(0, at, values)
            squares.index_add_(0, at, values[:, :, None] * values[:, None, :])
        everywhere = squares.sum(dim=0) / count.sum()
        mean_of_all = total.sum(dim=0) / count.sum()
        weight, prior = (count + self.params.prior)[:, None], self.params.prior
        mean = (total + prior * mean_of_all) / weight
        covariance = (squares + prior * everywhere) / weight[..., None]
        covariance -= mean[:, :, None] * mean[:, None, :]
        covariance += RIDGE * torch.eye(size)
        root = torch.linalg.cholesky(covariance)
        self.gaussians_.mean.copy_(mean)
        self.gaussians_.whitening.copy_(
            torch.linalg.solve_triangular(root, torch.eye(size).expand_as(root), upper=False)
        )
        note = f"{int((count > 0).sum())} of {places} places seen, {size} channels"
        return FitReport(slices_seen=len(train), notes=(note,))

    def distance(self, batch: Batch) -> Tensor:
        """Return the Mahalanobis distance at each place, ``[B, h, w]``."""
        features, z, gaussians = self.features(batch), batch.z, self.gaussians_
        values = features[:, gaussians.drawn.long()].flatten(2).transpose(1, 2)
        place = torch.arange(values.shape[1], device=z.device)
        found = []
        for one, slice_ in zip(values, z, strict=True):
            at = self._at(slice_, place)
            apart = (one - gaussians.mean[at])[..., None]
            found.append((gaussians.whitening[at] @ apart)[..., 0].norm(dim=1))
        return torch.stack(found).view(len(found), *features.shape[2:])

    def _at(self, z: Tensor, place: Tensor) -> Tensor:
        """The Gaussian of each place; beyond the training's bands, the nearest band's."""
        band = (z // self.slices_).clamp(0, self.bands_ - 1)
        return band * (self.grid_[0] * self.grid_[1]) + place


class _Gaussians(nn.Module):
    def __init__(self, places: int, size: int) -> None:
        super().__init__()
        self.drawn = nn.Parameter(torch.zeros(size, dtype=torch.int32), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(places, size), requires_grad=False)
        self.whitening = nn.Parameter(torch.zeros(places, size, size), requires_grad=False)
