"""Reconstruction losses, one value per sample."""

from __future__ import annotations

from torch import Tensor

from uad_bench.models.gaussians import Gaussian


def absolute_error(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean absolute error over the pixels of each sample, ``[B, 1, H, W] -> [B]``."""
    return (image - reconstruction).abs().mean(dim=(1, 2, 3))


def negative_log_likelihood(image: Tensor, predicted: Gaussian, brain: Tensor) -> Tensor:
    """Return ``-log N(image)`` summed over the brain of each sample, ``[B, 1, H, W] -> [B]``.

    ``((x - m)^2 / v + log v) / 2`` in nats; the constant ``log(2 pi) / 2`` per pixel is left out.
    """
    distance = (image - predicted.mean).square() * (-predicted.log_variance).exp()
    return (0.5 * (distance + predicted.log_variance) * brain).sum(dim=(1, 2, 3))


def squared_error(image: Tensor, reconstruction: Tensor, brain: Tensor) -> Tensor:
    """Return the mean squared error over the brain of each sample, ``[B, 1, H, W] -> [B]``.

    0 for a sample without brain.
    """
    total = ((image - reconstruction).square() * brain).sum(dim=(1, 2, 3))
    return total / brain.sum(dim=(1, 2, 3)).clamp(min=1)


def total_variation(image: Tensor) -> Tensor:
    """Return the anisotropic total variation of each sample, ``[B, 1, H, W] -> [B]``.

    ``mean |x[i+1, j] - x[i, j]| + mean |x[i, j+1] - x[i, j]|`` (Johnson et al. 2016).
    """
    vertical = image.diff(dim=2).abs().mean(dim=(1, 2, 3))
    return vertical + image.diff(dim=3).abs().mean(dim=(1, 2, 3))
