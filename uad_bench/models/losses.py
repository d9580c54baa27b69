"""Reconstruction losses, one value per sample."""

from __future__ import annotations

from torch import Tensor


def absolute_error(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean absolute error over the pixels of each sample, ``[B, 1, H, W] -> [B]``."""
    return (image - reconstruction).abs().mean(dim=(1, 2, 3))


def total_variation(image: Tensor) -> Tensor:
    """Return the anisotropic total variation of each sample, ``[B, 1, H, W] -> [B]``.

    ``mean |x[i+1, j] - x[i, j]| + mean |x[i, j+1] - x[i, j]|`` (Johnson et al. 2016).
    """
    vertical = image.diff(dim=2).abs().mean(dim=(1, 2, 3))
    return vertical + image.diff(dim=3).abs().mean(dim=(1, 2, 3))
