"""The shape prior: the tissue distribution of healthy people, slice by slice, as Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from uad_bench.method import TissuePrior
from uad_bench.models.latent.gaussians import Gaussian


class ShapePrior(nn.Module):
    """p(Z) of Bercea et al. 2022: an independent Gaussian per pixel and tissue.

    Most of the atlas has almost no variance, where the divergence would explode; the variance
    is floored before its logarithm is taken. Its tables are no part of a network's state.

    Args:
        prior: mean and variance over the template grid.
        floor: smallest variance.
    """

    mean: Tensor
    log_variance: Tensor

    def __init__(self, prior: TissuePrior, floor: float) -> None:
        super().__init__()
        tables = (torch.tensor(values).transpose(0, 1) for values in (prior.mean, prior.variance))
        mean, variance = (table.contiguous() for table in tables)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("log_variance", variance.clamp(min=floor).log(), persistent=False)

    def forward(self, z: Tensor) -> Gaussian:
        """Return the prior of the slices at the atlas indices ``z``, ``[B] -> [B, 4, H, W]``."""
        return Gaussian(self.mean[z], self.log_variance[z])
