"""Restoration: the image near a slice that a variational network finds likely.

You et al. 2019: gradient descent on the image itself, from the slice, of the network's negative
evidence lower bound plus ``tv_weight`` times the total variation of what was changed. Where the
slice is healthy there is little to gain, so that what changed shows what is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uad_bench.errors import DivergenceError

EARLY, EARLY_RATE, RATE, PUBLISHED_STEPS = 0.2, 5e-3, 2e-3, 500
"""The step size is 5e-3 in the first fifth of 500 steps, then 2e-3. With fewer steps it is larger
in proportion, so that an image can get as far."""

SATURATED = 0.5
"""A descent that drives this share of the brain's pixels to 0 or 1 has diverged."""


@dataclass(frozen=True, slots=True)
class Restoration:
    """How a slice is restored.

    Attributes:
        bound: the negative evidence lower bound of slices ``[B, 1, H, W]``, in nats, ``[B]``.
        steps: of the descent.
        clip: bound on every pixel's gradient.
    """

    bound: Callable[[Tensor], Tensor]
    steps: int
    clip: float

    def __call__(self, image: Tensor, brain: Tensor, tv_weight: Tensor) -> Tensor:
        """Return the restored slices ``[B, 1, H, W]`` in [0, 1]; outside the brain as they were.

        The slices do not see each other.

        Args:
            image: ``[B, 1, H, W]`` in [0, 1].
            brain: bool ``[B, 1, H, W]``.
            tv_weight: of each slice, ``[B]``.

        Raises:
            DivergenceError: if an image is no longer finite, or was driven to 0 and 1.
        """
        with torch.inference_mode(False), torch.enable_grad():
            start, mask, weight = image.clone(), brain.clone(), tv_weight.clone()
            current = start.clone()
            for step in range(self.steps):
                current.requires_grad_()
                cost = self.bound(current) + weight * variation(start - current)
                (gradient,) = torch.autograd.grad(cost.sum(), current)
                rate = EARLY_RATE if step < EARLY * self.steps else RATE
                rate *= PUBLISHED_STEPS / self.steps
                change = rate * gradient.clamp(-self.clip, self.clip) * mask
                current = (current.detach() - change).clamp(0, 1)
        if not torch.isfinite(current).all():
            raise DivergenceError(
                f"the restored image is no longer finite after {self.steps} steps; lower clip"
            )
        driven = ((current == 0) | (current == 1)) & (start > 0) & (start < 1)
        if (share := float(driven[mask].float().mean())) > SATURATED:
            raise DivergenceError(
                f"restoration in {self.steps} steps drove {share:.0%} of the brain to 0 or 1: its "
                "steps are larger the fewer they are; raise restoration_steps"
            )
        return current


def variation(image: Tensor) -> Tensor:
    """Return the anisotropic total variation, summed over the pixels, ``[B, 1, H, W] -> [B]``.

    ``sum |x[i+1, j] - x[i, j]| + sum |x[i, j+1] - x[i, j]|``.
    """
    vertical = image.diff(dim=2).abs().sum(dim=(1, 2, 3))
    return vertical + image.diff(dim=3).abs().sum(dim=(1, 2, 3))
