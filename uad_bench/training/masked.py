"""A network that fills in what is masked, from the rest of the slice and its fine structure."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from uad_bench.models.batches import Batch
from uad_bench.models.corruption.masking import draw_masks, fine_structure
from uad_bench.models.diffusion.noise import draw_noise
from uad_bench.models.losses.pixelwise import absolute_error, squared_error
from uad_bench.training.loop.network import NetworkTraining

_WHOLE = 0.5


class MaskedTraining(NetworkTraining):
    """The mean squared error over the brain, where half of the slices are masked by squares.

    The other half is masked as a whole, and only its fine structure is left to see.
    """

    def measures(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return the misfit by which it is trained, and L1."""
        count, _, height, width = batch.image.shape
        spacing, device = batch.spacing[1:], batch.image.device
        drawn = draw_masks(batch.brain, spacing, generator)
        whole = torch.rand(count, 1, 1, 1, generator=generator, device=device) < _WHOLE
        mask = torch.where(whole, batch.brain, drawn)
        noise = draw_noise("gaussian", (count, height, width), spacing, generator)
        made = filled_in(self.network, batch, mask, noise)
        misfit = squared_error(batch.image, made, batch.brain)
        return {"misfit": misfit, "l1": absolute_error(batch.image, made)}


def filled_in(network: nn.Module, batch: Batch, mask: Tensor, noise: Tensor) -> Tensor:
    """Return what a network makes of slices without what is masked, ``[B, 1, H, W]`` in [0, 1].

    Args:
        network: from noise where the mask is and the slice elsewhere, and the slice's fine
            structure, ``[B, 2, H, W]``, to slices.
        batch: the slices.
        mask: bool ``[B, 1, H, W]``.
        noise: of the slices' shape, with mean 0 and variance 1.
    """
    fine = fine_structure(batch.image, batch.spacing[1:])
    made: Tensor = network(torch.cat((torch.where(mask, noise, batch.image), fine), dim=1))
    return made * batch.brain
