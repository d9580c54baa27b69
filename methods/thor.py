"""THOR: the noise is taken off such that healthy tissue stays as it is (Bercea et al. 2024)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from uad_bench.method import Method, MethodInfo
from uad_bench.models.backbones.efficientnet import find_lite0
from uad_bench.models.batches import Batch
from uad_bench.models.diffusion.harmonisation import difference, harmonic_mean, share_replaced
from uad_bench.models.diffusion.schedule import centred, noised, reverse, shown, times_down
from uad_bench.training.scaled_score import ScaledScore

from .anoddpm import AnoDDPM


class THOR(ScaledScore, AnoDDPM):
    """AnoDDPM's training; a few times on the way back, healthy tissue is put in from the slice.

    Preset ``paper`` is THOR's with Gaussian noise; its ``steps``, which the paper counts in epochs,
    keep their default, and network, augmentation and the maps that are joined are ours.
    """

    class Params(AnoDDPM.Params):
        """Hyper-parameters of AnoDDPM, and of the guided reverse process."""

        harmonisations: int = Field(default=3, ge=1)
        """How often the slice is put in where it looks healthy, evenly spread over the steps."""

        def faults(self) -> list[str]:
            """Return what contradicts itself, one text each."""
            if self.harmonisations < self.ddim_steps:
                return super().faults()
            return [
                *super().faults(),
                f"harmonisations {self.harmonisations} are not fewer than ddim_steps "
                f"{self.ddim_steps}; lower harmonisations or raise ddim_steps",
            ]

    info = MethodInfo(
        name="thor",
        title="THOR",
        citation="Bercea et al. 2024",
        presets={
            "paper": {
                "width": 128,
                "batch_size": 16,
                "learning_rate": 1e-4,
                "noise": "gaussian",
                "trained_to": 1000,
                "start": 350,
                "ddim_steps": 350,
                "harmonisations": 3,
            }
        },
    )
    trained_as: ClassVar[type[Method] | None] = AnoDDPM
    params: Params

    @classmethod
    def resolve(cls, params: Any) -> Any:
        """Return the parameters, once the weights of the perceptual term are found.

        Raises:
            UadBenchError: if they are not installed.
        """
        find_lite0()
        return params

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return the slices after the guided reverse process, in [0, 1]."""
        return self._guided(batch)[0]

    def raw_score(self, batch: Batch) -> Tensor:
        """Return the harmonic mean of how the slice differed on the way, and differs at the end."""
        return harmonic_mean(self._guided(batch)[1])

    def _guided(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The reconstruction, and how the slice differed from what was seen at each look."""
        steps, looks = self.params.ddim_steps, self.params.harmonisations
        times = times_down(self.params.start, steps)
        at = {round(steps * look / (looks + 1)) for look in range(1, looks + 1)}
        image, added = centred(batch.image), self.noise_for(batch)
        maps: list[Tensor] = []

        def harmonise(step: int, clean: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
            if step not in at:
                return clean, noise
            maps.append(difference(batch.image, shown(clean) * batch.brain))
            share = share_replaced(maps[-1], batch.spacing[1:])
            return share * clean + (1 - share) * image, added

        given = noised(image, batch.z.new_full(batch.z.shape, times[0]), added)
        made = shown(reverse(self.network_, given, times, harmonise))
        return made, [*maps, difference(batch.image, made * batch.brain)]
