"""Losses of reconstructions and of segmentations, one value per sample."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def absolute_error(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean absolute error over the pixels of each sample, ``[B, 1, H, W] -> [B]``."""
    return (image - reconstruction).abs().mean(dim=(1, 2, 3))


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


def dice_cross_entropy(
    logits: Tensor, lesion: Tensor, counted: Tensor, cross_entropy_weight: float
) -> Tensor:
    """Return Dice loss plus weighted cross-entropy of each sample, ``[B, 1, H, W] -> [B]``.

    ``1 - (2 sum p t + 1) / (sum p + sum t + 1)``, of the probabilities ``p = sigmoid(logits)`` and
    the mask ``t``, plus the weight times the mean binary cross-entropy in nats. The 1 makes the
    Dice loss of a sample without lesion fall with its false positives, to 0 without any.

    Args:
        logits: of lesion.
        lesion: 1 where there is one; other values are none.
        counted: the pixels that count; both terms leave the others out.
        cross_entropy_weight: of the cross-entropy.
    """
    truth, weight = (lesion == 1).to(logits.dtype), counted.to(logits.dtype)
    probability, axes = torch.sigmoid(logits) * weight, (1, 2, 3)
    overlap = (probability * truth).sum(dim=axes)
    size = probability.sum(dim=axes) + (truth * weight).sum(dim=axes)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    mean = (entropy * weight).sum(dim=axes) / weight.sum(dim=axes).clamp(min=1)
    return 1 - (2 * overlap + 1) / (size + 1) + cross_entropy_weight * mean
