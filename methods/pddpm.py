"""pDDPM: one box of a slice after the other is noised, and made anew from what is around it.

Behrendt et al. 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from uad_bench.method import FitContext, MethodInfo
from uad_bench.models.batches import Batch
from uad_bench.models.diffusion.denoiser import Denoiser
from uad_bench.models.diffusion.schedule import centred, noised, shown, without_velocity
from uad_bench.training import NetworkTraining, Trainable
from uad_bench.training.diffusion import DiffusionMethod, DiffusionParams, noisy_example


class PDDPM(DiffusionMethod):
    """Boxes that tile the slice. In each the network returns the slice itself, in one step."""

    class Params(DiffusionParams):
        """Hyper-parameters of training and boxes."""

        start: int = Field(default=400, ge=1)
        """Steps of noise that a box is given; all are taken off at once."""
        grid: int = Field(default=2, ge=1, le=8)
        """Boxes along each side of a slice."""

    info = MethodInfo(
        name="pddpm",
        title="pDDPM",
        citation="Behrendt et al. 2023",
        presets={
            "paper": {
                "width": 128,
                "steps": 18_000,
                "batch_size": 32,
                "learning_rate": 1e-4,
                "decay": 1.0,
                "checks": 100,
                "noise": "simplex",
                "trained_to": 1000,
                "start": 400,
                "grid": 2,
            }
        },
    )
    params: Params

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training on boxes."""
        return _Training(self.network_, self.params)

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return slices of which every box was made anew, in [0, 1]."""
        image = centred(batch.image)
        time = batch.z.new_full(batch.z.shape, self.params.start)
        noisy = noised(image, time, self.noise_for(batch))
        made = image
        for box in boxes(image, self.params.grid):
            seen = torch.where(box, noisy, image)
            made = torch.where(box, without_velocity(seen, time, self.network_(seen, time)), made)
        return shown(made)


def boxes(image: Tensor, grid: int) -> Tensor:
    """Return the boxes that tile slices ``[B, 1, H, W]``, bool ``[grid * grid, H, W]``."""
    height, width = image.shape[2:]
    place = torch.arange(grid, device=image.device)
    rows, columns = (
        torch.arange(size, device=image.device) * grid // size == place[:, None]
        for size in (height, width)
    )
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)


class _Training(NetworkTraining):
    """A box of every slice, drawn for each, is noised; L1 counts inside it."""

    def __init__(self, network: Denoiser, params: PDDPM.Params) -> None:
        super().__init__(network)
        self.params = params

    def measures(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return the mean absolute error inside each slice's box, of slices in [-1, 1]."""
        image = centred(batch.image)
        noisy, time, _ = noisy_example(batch, self.params, generator)
        every = boxes(image, self.params.grid)
        size, device = (len(image),), image.device
        drawn = torch.randint(len(every), size, generator=generator, device=device)
        box = every[drawn][:, None]
        seen = torch.where(box, noisy, image)
        made = without_velocity(seen, time, self.network(seen, time))
        error = (made - image).abs() * box
        return {"misfit": error.sum(dim=(1, 2, 3)) / box.sum(dim=(1, 2, 3))}
