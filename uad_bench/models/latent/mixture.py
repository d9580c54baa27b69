"""The latent space of the Gaussian-mixture VAE (Dilokthanakul et al. 2017, You et al. 2019).

Two spatial latents, w from N(0, I) and z from a mixture whose components depend on w. Component
means and log-precisions are ``[B, C, D, H, W]``: C components, D channels of z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from uad_bench.models.latent.gaussians import Gaussian


@dataclass(frozen=True, slots=True)
class Components:
    """The mixture p(z | w, c) at every pixel.

    Attributes:
        mean: ``[B, C, D, H, W]``.
        log_precision: logarithm of the inverse variance, same shape.
    """

    mean: Tensor
    log_precision: Tensor


class MixturePrior(nn.Module):
    """The network of p(z | w, c): 1x1 convolution, ReLU, and one 1x1 convolution per parameter.

    Args:
        dim_w: channels of w.
        dim_z: channels of z.
        dim_c: components.
        hidden: channels of the hidden layer (64 in You et al.).
    """

    def __init__(self, dim_w: int, dim_z: int, dim_c: int, hidden: int = 64) -> None:
        super().__init__()
        self.shape = (dim_c, dim_z)
        self.hidden = nn.Conv2d(dim_w, hidden, kernel_size=1)
        self.mean = nn.Conv2d(hidden, dim_c * dim_z, kernel_size=1)
        self.log_precision = nn.Conv2d(hidden, dim_c * dim_z, kernel_size=1)
        nn.init.constant_(self.log_precision.bias, 0.1)  # type: ignore[arg-type]

    def forward(self, w: Tensor) -> Components:
        """Return the components at every pixel of ``w``, ``[B, dim_w, H, W]``."""
        hidden = self.hidden(w).relu()
        return Components(
            self.mean(hidden).unflatten(1, self.shape),
            self.log_precision(hidden).unflatten(1, self.shape),
        )


def log_responsibilities(z: Tensor, components: Components, *, legacy: bool = False) -> Tensor:
    """Return log p(c | w, z) under equal weights, ``[B, D, H, W] -> [B, C, H, W]``.

    The log-softmax over c of ``sum_D (-precision (z - mean)^2 + log precision) / 2``.

    Args:
        z: the sample.
        components: p(z | w, c).
        legacy: use ``- log precision`` for the last term, which is wrong, as the published
            code of You et al. 2019 and its descendants do.
    """
    distance = (z[:, None] - components.mean).square() * components.log_precision.exp()
    normaliser = -components.log_precision if legacy else 0.5 * components.log_precision
    logits: Tensor = (normaliser - 0.5 * distance).sum(dim=2)
    return logits.log_softmax(dim=1)


def conditional_divergence(q: Gaussian, components: Components, log_weights: Tensor) -> Tensor:
    """Return ``sum_c p(c) KL(q(z | x) || p(z | w, c))`` per sample, in nats, ``[B]``.

    Args:
        q: q(z | x), ``[B, D, H, W]``.
        components: p(z | w, c).
        log_weights: log p(c | w, z), ``[B, C, H, W]``.
    """
    mean, log_variance = q.mean[:, None], q.log_variance[:, None]
    scaled = (log_variance.exp() + (mean - components.mean).square()) * (
        components.log_precision.exp()
    )
    divergence = 0.5 * (scaled - components.log_precision - log_variance - 1.0).sum(dim=2)
    return (log_weights.exp() * divergence).sum(dim=(1, 2, 3))


def component_divergence(log_weights: Tensor, free: float) -> Tensor:
    """Return KL(p(c | w, z) || uniform) per sample, in nats, ``[B, C, H, W] -> [B]``.

    Args:
        log_weights: log p(c | w, z).
        free: at each pixel, a divergence below this many nats counts as this many, so that
            it is not pushed down further (free bits; lambda in You et al. 2019).
    """
    entropy = -(log_weights.exp() * log_weights).sum(dim=1)
    return (math.log(log_weights.shape[1]) - entropy).clamp(min=free).sum(dim=(1, 2))
