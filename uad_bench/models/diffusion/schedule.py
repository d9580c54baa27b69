"""Diffusion (Ho et al. 2020): slices are noised in 1000 steps, and a network takes the noise off.

A *time* counts the steps of noise that a slice has had: 0 is the slice itself. Images are in
[-1, 1] here (:func:`centred`); what comes out is brought back to [0, 1] (:func:`shown`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

Network = Callable[[Tensor, Tensor], Tensor]
"""From noised slices ``[B, 1, H, W]`` and their times ``[B]`` to what it takes for the noise."""

Guide = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From the number of a step, from 1, the slices that the network sees and the noise, to those that
the step goes on with."""


def unguided(step: int, clean: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """Return what the network sees."""
    return clean, noise


TIMES = 1000
_FIRST, _LAST = 1e-4, 0.02


@cache
def signal(device: torch.device) -> Tensor:
    """Return the share of the slice's variance that is left at each time, ``[1001]``.

    ``prod (1 - b_s)`` over the steps s up to a time, where b rises linearly from 1e-4 to 0.02.
    """
    rates = torch.linspace(_FIRST, _LAST, TIMES, dtype=torch.float64)
    left = torch.cat((torch.ones(1, dtype=torch.float64), (1 - rates).cumprod(dim=0)))
    return left.float().to(device)


def centred(image: Tensor) -> Tensor:
    """Return slices in [0, 1] brought to [-1, 1]."""
    return 2 * image - 1


def shown(image: Tensor) -> Tensor:
    """Return images in [-1, 1] brought to [0, 1]."""
    return ((image + 1) / 2).clamp(0, 1)


def noised(image: Tensor, time: Tensor, noise: Tensor) -> Tensor:
    """Return ``sqrt(a) image + sqrt(1 - a) noise``, a being what :func:`signal` says.

    Args:
        image: ``[B, 1, H, W]`` in [-1, 1].
        time: int ``[B]``, 0 to 1000.
        noise: of the image's shape, with mean 0 and variance 1.
    """
    keep, add = _factors(time)
    return keep * image + add * noise


def without_noise(image: Tensor, time: Tensor, noise: Tensor) -> Tensor:
    """Return the slice that this noise was added to, in [-1, 1]: :func:`noised` undone.

    Args:
        image: noised, ``[B, 1, H, W]``.
        time: int ``[B]``, 0 to 1000.
        noise: what was added, or what a network takes for it.
    """
    keep, add = _factors(time)
    return ((image - add * noise) / keep).clamp(-1, 1)


def without_velocity(image: Tensor, time: Tensor, velocity: Tensor) -> Tensor:
    """Return ``sqrt(a) image - sqrt(1 - a) velocity``, the slice that was noised.

    A network that predicts the slice is asked for the velocity (Salimans and Ho 2022), so that one
    which says 0 already makes the best linear guess, at whatever time.

    Args:
        image: noised, ``[B, 1, H, W]``.
        time: int ``[B]``, 0 to 1000.
        velocity: ``sqrt(a) noise - sqrt(1 - a) slice``, or what a network takes for it.
    """
    keep, add = _factors(time)
    return keep * image - add * velocity


def noise_between(image: Tensor, time: Tensor, clean: Tensor) -> Tensor:
    """Return the noise that makes ``image`` of the slice ``clean``.

    Args:
        image: noised, ``[B, 1, H, W]``.
        time: int ``[B]``, 1 to 1000.
        clean: in [-1, 1].
    """
    keep, add = _factors(time)
    return (image - keep * clean) / add


def times_down(start: int, steps: int) -> tuple[int, ...]:
    """Return the times of a reverse process, ``steps + 1`` from ``start`` down to 0, spread evenly.

    Song et al. 2021 (DDIM): not every time of the schedule has to be visited.
    """
    return tuple(round(start * (steps - step) / steps) for step in range(steps + 1))


def reverse(
    network: Network, image: Tensor, times: Sequence[int], guide: Guide = unguided
) -> Tensor:
    """Return noised slices without their noise, in [-1, 1], by steps that draw nothing.

    Song et al. 2021, eq. 12, with sigma = 0. In each step the slice that the network sees through
    the noise is cut at -1 and 1, and noised again by what then is the noise.

    Args:
        network: says what the noise is.
        image: noised slices, ``[B, 1, H, W]``.
        times: the times to visit, falling; the slices have the first one's noise.
        guide: may change what a step goes on with.
    """
    for step, (now, then) in enumerate(pairwise(times), start=1):
        time, later = (torch.full((len(image),), one, device=image.device) for one in (now, then))
        clean = without_noise(image, time, network(image, time))
        clean, noise = guide(step, clean, noise_between(image, time, clean))
        image = noised(clean, later, noise)
    return image


def _factors(time: Tensor) -> tuple[Tensor, Tensor]:
    left = signal(time.device)[time][:, None, None, None]
    return left.sqrt(), (1 - left).sqrt()
