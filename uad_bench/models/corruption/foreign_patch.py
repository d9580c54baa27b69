"""Patches of other healthy people, mixed into a slice at the same place (Tan et al. 2022)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from uad_bench.errors import UadBenchError
from uad_bench.method import Slices

_HALF = (0.05, 0.2)
"""Half the side of a patch, as a share of the slice's."""

_SHARE = (0.05, 0.95)
_SAME = 1e-3
"""Intensities that differ by less are not told apart."""


class OtherPeople:
    """Slices of several people, by their place in the template.

    Args:
        slices: of healthy people.

    Raises:
        UadBenchError: if no two of them have the same place.
    """

    def __init__(self, slices: Slices) -> None:
        self._slices = slices
        places, counts = np.unique(slices.z, return_counts=True)
        self._places = places[counts > 1]
        if not len(self._places):
            raise UadBenchError(
                "patches of other people need at least 2 training scans; add healthy people"
            )
        self._rows = [np.flatnonzero(slices.z == place) for place in self._places]

    def draw(self, image: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """Return a slice of somebody else for each slice, from its place or the nearest of several.

        Args:
            image: the slices, ``[B, 1, H, W]``.
            z: their places, ``[B]``.
            generator: source of every draw.
        """
        first, second = torch.rand(2, len(z), generator=generator, device=z.device).tolist()
        found = torch.empty_like(image)
        for at, one in enumerate(z.tolist()):
            rows = self._rows[int(np.abs(self._places - one).argmin())]
            drawn = int(first[at] * len(rows))
            found[at] = self._slice(rows[drawn])
            if torch.equal(found[at], image[at]):  # any of the others, alike
                found[at] = self._slice(
                    rows[(drawn + 1 + int(second[at] * (len(rows) - 1))) % len(rows)]
                )
        return found

    def _slice(self, row: int) -> Tensor:
        # a copy: torch warns of an array that it may not write to, such as a file's
        return torch.from_numpy(np.array(self._slices.image[row], np.float32))


def interpolate(
    image: Tensor, brain: Tensor, foreign: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return slices with one foreign patch each, and how foreign every pixel is.

    The patch's centre is drawn evenly from the brain, half of each side evenly from a twentieth to
    a fifth of the slice's, and the foreign share evenly from 0.05 to 0.95.

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        brain: bool ``[B, 1, H, W]``; pixels outside it stay as they are.
        foreign: other slices of the same places, ``[B, 1, H, W]``.
        generator: source of every draw, on the image's device.

    Returns:
        The slices; and the foreign share of each pixel, 0 where both people are alike.
    """
    count, _, height, width = image.shape
    device = image.device
    draws = torch.rand(brain.shape, generator=generator, device=device)
    centre = (draws * brain).flatten(1).argmax(dim=1)
    row, column, share = torch.rand(3, count, generator=generator, device=device)
    low, high = _HALF
    tall, wide = (height * (low + (high - low) * row), width * (low + (high - low) * column))
    rows = torch.arange(height, device=device) - (centre // width)[:, None]
    columns = torch.arange(width, device=device) - (centre % width)[:, None]
    in_rows, in_columns = rows.abs() <= tall[:, None], columns.abs() <= wide[:, None]
    inside = (in_rows[:, :, None] & in_columns[:, None, :])[:, None] & brain
    weight = (_SHARE[0] + (_SHARE[1] - _SHARE[0]) * share)[:, None, None, None] * inside
    apart = foreign - image
    return image + weight * apart, weight * (apart.abs() > _SAME)
