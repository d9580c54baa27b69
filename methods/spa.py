"""SPA: a VAE whose latent is a map of tissues under an atlas prior (Bercea et al. 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench import method
from uad_bench.errors import UadBenchError
from uad_bench.method import TISSUES, FitContext, FitReport, FloatArray, Slices, TissueMapping
from uad_bench.models.batches import in_batches, spread
from uad_bench.models.blocks import UNet, image_head
from uad_bench.models.latent.gaussians import Activation, ProbabilityHead, divergence
from uad_bench.models.latent.shape_prior import ShapePrior
from uad_bench.models.latent.variational import GaussianLatent, GaussianNetwork
from uad_bench.training import PAPER, VALIDATION_SLICES, Trainable
from uad_bench.training.variational import VariationalParams, VariationalReconstruction


class SPA(VariationalReconstruction, TissueMapping):
    """An encoder U-Net to four tissue maps of the slice's size, and a decoder U-Net from them.

    The only way from the slice to its reconstruction leads through the maps: skip connections
    stay inside the two U-Nets.
    """

    class Params(VariationalParams):
        """Hyper-parameters of SPA, whose own loss is the paper's."""

        steps: int = Field(default=250, ge=1)
        learning_rate: float = Field(default=4e-3, gt=0.0)
        loss: Literal["paper"] = "paper"
        """The shared loss of Bercea et al. 2022, which is SPA's own."""
        var_floor: float = Field(default=1e-2, gt=0.0, lt=0.5)
        """Smallest variance of the tissue prior."""
        initial_variance: float | None = Field(default=None, gt=0.0, lt=1.0)
        """Variance of the posterior before training; ``null``: ``var_floor``."""
        kl_reduction: Literal["sum_pixels", "mean"] = "sum_pixels"
        """``sum_pixels`` sums the divergence over the pixels and averages it over the tissues, as
        the authors do. ``mean`` averages over both, so that ``beta`` does not depend on the
        slice's size (it is then H W times larger)."""
        skips: bool = True
        """Whether the two U-Nets have skip connections."""
        latent: Activation = "softmax"
        """How the maps are brought into [0, 1]: together, so that they sum to 1 (``softmax``), or
        each on its own (``sigmoid``)."""

    info = method.MethodInfo(
        name="spa",
        title="SPA",
        citation="Bercea et al. 2022",
        needs=frozenset({"tissue_prior"}),
        first_trial={"beta": 1e-3, "snr": 16.0},
        presets={
            "paper": {
                **PAPER,
                "initial_variance": 0.5,
                "var_floor": 1e-2,
                "kl_reduction": "sum_pixels",
                "skips": True,
                "latent": "sigmoid",
            }
        },
    )
    params: Params
    network_: _Network

    def network(self) -> _Network:
        """Return the untrained network."""
        return _Network(self.params)

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training, under the tissue prior where there is one."""
        if context.tissue_prior is not None:
            prior = ShapePrior(context.tissue_prior, self.params.var_floor)
            self.network_.prior = prior.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return super().trainable(context)

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train as every deep method, and report how far the maps are from a share of tissues.

        ``sum_to_one`` is the mean absolute difference of the four maps' sum from 1 over the pixels
        of the validation slices that a check sees.
        """
        report = super().fit(train, validation, context)
        seen = validation.take(spread(len(validation), VALIDATION_SLICES))
        excess = float(np.abs(self.tissues(seen).sum(axis=1) - 1).mean())
        return replace(report, validation={**report.validation, "sum_to_one": excess})

    @torch.inference_mode()
    def tissues(self, slices: Slices) -> FloatArray:
        """Return the latent tissue maps ``[N, 4, H, W]``: CSF, GM, WM, background, in [0, 1]."""
        self.network_.eval()
        return in_batches(
            lambda batch: self.network_.encode(batch.image).posterior.mean, slices, self.network_
        )


class _Network(GaussianNetwork):
    def __init__(self, params: SPA.Params) -> None:
        width, skips, maps = params.width, params.skips, len(TISSUES)
        start = params.initial_variance or params.var_floor
        head = ProbabilityHead(width, maps, start, params.latent)
        encoder = nn.Sequential(UNet(1, width, skips=skips), head)
        decoder = nn.Sequential(UNet(maps, width, skips=skips), image_head(width))
        super().__init__(encoder, decoder, params.sampler)
        self.prior: ShapePrior | None = None  # given for training only
        self.beta = params.beta
        self.over_pixels = torch.sum if params.kl_reduction == "sum_pixels" else torch.mean

    def divergence(self, latent: GaussianLatent, z: Tensor) -> Tensor:
        if self.prior is None:
            if not self.beta:
                return latent.draw.new_zeros(len(z))
            raise UadBenchError("spa: no tissue prior; train on a dataset that has tissue maps")
        per_pixel = divergence(latent.posterior, self.prior(z)).mean(dim=1)
        return self.over_pixels(per_pixel, dim=(1, 2))
