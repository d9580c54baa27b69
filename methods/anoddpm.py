"""AnoDDPM: a slice gets some noise, and a network of healthy slices takes it off.

Wyatt et al. 2022.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from uad_bench.method import MethodInfo
from uad_bench.models.batches import Batch
from uad_bench.models.diffusion.schedule import TIMES, centred, noised, reverse, shown, times_down
from uad_bench.training.diffusion import DiffusionMethod, DiffusionParams


class AnoDDPM(DiffusionMethod):
    """The noise hides a lesion, and enough of the brain is left to give back a healthy one.

    The reverse process draws nothing (Song et al. 2021), so that few steps do.
    """

    class Params(DiffusionParams):
        """Hyper-parameters of training and reverse process."""

        trained_to: int = Field(default=300, ge=1, le=TIMES)
        ddim_steps: int = Field(default=10, ge=1)
        """Steps in which the noise is taken off."""

        def faults(self) -> list[str]:
            """Return what contradicts itself, one text each."""
            if self.ddim_steps <= self.start:
                return super().faults()
            return [
                *super().faults(),
                f"ddim_steps {self.ddim_steps} is more than start {self.start}; lower it",
            ]

    info = MethodInfo(
        name="anoddpm",
        title="AnoDDPM",
        citation="Wyatt et al. 2022",
        presets={
            "paper": {
                "width": 128,
                "steps": 150_000,
                "batch_size": 2,
                "learning_rate": 1e-4,
                "decay": 1.0,
                "checks": 100,
                "noise": "simplex",
                "trained_to": 800,
                "start": 140,
                "ddim_steps": 140,
            }
        },
    )
    params: Params

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return the slices after noise was added and taken off, in [0, 1]."""
        times = times_down(self.params.start, self.params.ddim_steps)
        start = batch.z.new_full(batch.z.shape, times[0])
        given = noised(centred(batch.image), start, self.noise_for(batch))
        return shown(reverse(self.network_, given, times))
