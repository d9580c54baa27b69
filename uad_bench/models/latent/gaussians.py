"""Diagonal Gaussians: heads, divergences and likelihood, and how to sample them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

NormScope = Literal["sample", "batch"]
Activation = Literal["sigmoid", "softmax"]


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A Gaussian with diagonal covariance, of any shape that starts with the batch.

    Attributes:
        mean: ``[B, ...]``.
        log_variance: natural logarithm of the variance, same shape.
    """

    mean: Tensor
    log_variance: Tensor


class GaussianHead(nn.Module):
    """Mean and log-variance by one 1x1 convolution each; the variance starts at 1 everywhere."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.mean = nn.Conv2d(features, channels, kernel_size=1)
        self.log_variance = nn.Conv2d(features, channels, kernel_size=1)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.zeros_(self.log_variance.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Gaussian:
        """Return the Gaussian at every pixel of ``[B, features, H, W]``."""
        return Gaussian(self.mean(features), self.log_variance(features))


class ProbabilityHead(GaussianHead):
    """A head for values in [0, 1], with a variance in (0, 1) by LogSigmoid.

    Bercea et al. 2022, section 3. From the 1/2 at which a bias of 0 starts it, the divergence to
    a narrow prior converges slowly; hence ``start``.

    Args:
        features: channels of the input.
        channels: latent channels.
        start: initial variance, in (0, 1).
        mean: ``sigmoid``, each channel on its own, as in the paper; or ``softmax`` over the
            channels, whose means then sum to 1 at every pixel.
    """

    def __init__(
        self, features: int, channels: int, start: float, mean: Activation = "sigmoid"
    ) -> None:
        super().__init__(features, channels)
        self.is_simplex = mean == "softmax"
        bias = torch.logit(torch.tensor(start)).item()
        nn.init.constant_(self.log_variance.bias, bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Gaussian:
        """Return the Gaussian at every pixel of ``[B, features, H, W]``."""
        free = super().forward(features)
        mean = free.mean.softmax(dim=1) if self.is_simplex else free.mean.sigmoid()
        return Gaussian(mean, nn.functional.logsigmoid(free.log_variance))


def divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """Return KL(q || p) per element, in nats: ``(log vp/vq + (vq + (mq - mp)^2)/vp - 1) / 2``."""
    excess = q.log_variance - p.log_variance
    distance = (q.mean - p.mean).square() * torch.exp(-p.log_variance)
    return 0.5 * (excess.exp() + distance - excess - 1.0)


def divergence_from_standard(q: Gaussian) -> Tensor:
    """Return KL(q || N(0, 1)) per element, in nats (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (q.mean.square() + q.log_variance.exp() - q.log_variance - 1.0)


def negative_log_likelihood(image: Tensor, predicted: Gaussian, brain: Tensor) -> Tensor:
    """Return ``-log N(image)`` summed over the brain of each sample, ``[B, 1, H, W] -> [B]``.

    ``((x - m)^2 / v + log v) / 2`` in nats; the constant ``log(2 pi) / 2`` per pixel is left out.
    """
    distance = (image - predicted.mean).square() * (-predicted.log_variance).exp()
    return (0.5 * (distance + predicted.log_variance) * brain).sum(dim=(1, 2, 3))


@dataclass(frozen=True, slots=True)
class Sampler:
    """Reparameterised sampling, plain or at a fixed signal-to-noise ratio.

    Bercea et al. 2022, section 2.2: ``z = mu + SNR^-1/2 * |mu|/|eta| * sigma * eta``, with eta
    from N(0, I). The noise then has the energy ``|mu|^2 sigma^2 / SNR`` whatever its draw. It
    shrinks with mu, so that this reading bounds the information in z less than a plain one.

    Attributes:
        snr: ratio of signal to noise energy at sigma = 1; ``None`` for ``z = mu + sigma * eta``.
        scope: whether the norms run over one sample or, as in the authors' code, over the batch.
    """

    snr: float | None = None
    scope: NormScope = "sample"

    def __call__(self, q: Gaussian, generator: torch.Generator | None) -> Tensor:
        """Draw from ``q``; without a generator, return its mean.

        The noise is drawn where the generator is: one on the CPU draws the same for any device.
        """
        if generator is None:
            return q.mean
        eta = torch.randn(q.mean.shape, generator=generator, device=generator.device)
        eta = eta.to(q.mean.device)
        noise = torch.exp(0.5 * q.log_variance) * eta
        if self.snr is not None:
            noise = noise * (self._norm(q.mean) / self._norm(eta)) * self.snr**-0.5
        return q.mean + noise

    def _norm(self, values: Tensor) -> Tensor:
        axes = tuple(range(1, values.ndim)) if self.scope == "sample" else None
        norm: Tensor = torch.linalg.vector_norm(values, dim=axes, keepdim=True)
        return norm
