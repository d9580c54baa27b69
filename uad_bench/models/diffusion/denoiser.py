"""The U-Net of diffusion models: it is told how much noise its input has.

Ho et al. 2020, as small as two processor cores ask for: one residual block per size, and attention
at an eighth of the size only, where a slice has a few hundred places.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

_GROUPS = 8
_HEAD = 32
_SLOWEST = 10_000.0


class Denoiser(nn.Module):
    """From slices ``[B, inputs, H, W]`` and their times ``[B]`` to ``[B, 1, H, W]``.

    Its last layer is 0 at first. Height and width must divide by 8.

    Args:
        inputs: channels of the input.
        width: filters at full size; twice as many at half of it, then four times as many.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        channels = (width, 2 * width, 4 * width, 4 * width)
        embedded = 4 * width
        self.width = width
        self.time = nn.Sequential(
            nn.Linear(2 * width, embedded), nn.SiLU(), nn.Linear(embedded, embedded), nn.SiLU()
        )
        self.first = nn.Conv2d(inputs, width, kernel_size=3, padding=1)
        self.down = nn.ModuleList(
            ResidualBlock(before, after, embedded) for before, after in pairwise((width, *channels))
        )
        bottom = channels[-1]
        self.before = ResidualBlock(bottom, bottom, embedded)
        self.attention = Attention(bottom)
        self.after = ResidualBlock(bottom, bottom, embedded)
        self.up = nn.ModuleList(
            ResidualBlock(below + beside, beside, embedded)
            for below, beside in pairwise((bottom, *reversed(channels)))
        )
        self.last = nn.Sequential(
            _norm(width), nn.SiLU(), _silent(nn.Conv2d(width, 1, kernel_size=3, padding=1))
        )

    def forward(self, image: Tensor, time: Tensor) -> Tensor:
        """Return what the network makes of slices at their times, which need not be whole."""
        embedded = self.time(sinusoids(time, 2 * self.width))
        features, current = [], self.first(image)
        for level, block in enumerate(self.down):
            current = block(nn.functional.avg_pool2d(current, 2) if level else current, embedded)
            features.append(current)
        current = self.before(current, embedded)
        current = self.after(self.attention(current), embedded)
        for level, block in enumerate(self.up):
            if level:
                current = nn.functional.interpolate(current, scale_factor=2.0, mode="nearest")
            current = block(torch.cat((current, features.pop()), dim=1), embedded)
        made: Tensor = self.last(current)
        return made


class ResidualBlock(nn.Module):
    """Twice [group normalisation, SiLU, 3x3 convolution], with the time added in between.

    Args:
        inputs: channels before.
        outputs: channels after.
        embedded: length of the embedded time.
    """

    def __init__(self, inputs: int, outputs: int, embedded: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        )
        self.time = nn.Linear(embedded, outputs)
        self.second = nn.Sequential(
            _norm(outputs), nn.SiLU(), _silent(nn.Conv2d(outputs, outputs, 3, padding=1))
        )
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, kernel_size=1)

    def forward(self, image: Tensor, embedded: Tensor) -> Tensor:
        """Map ``[B, inputs, H, W]`` and ``[B, embedded]`` to ``[B, outputs, H, W]``."""
        changed = self.second(self.first(image) + self.time(embedded)[:, :, None, None])
        result: Tensor = self.shortcut(image) + changed
        return result


class Attention(nn.Module):
    """Self-attention between all places of a feature map, added to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // _HEAD)
        self.norm = _norm(channels)
        self.asked = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.answer = _silent(nn.Conv2d(channels, channels, kernel_size=1))

    def forward(self, image: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape."""
        places = self.asked(self.norm(image)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = places.unbind(dim=1)  # [B, heads, C / heads, H W]
        # written out: the fused function's gradient is not the same bits each time on a GPU
        alike = query.transpose(2, 3) @ key / math.sqrt(query.shape[2])
        seen = (value @ alike.softmax(dim=3).transpose(2, 3)).reshape(image.shape)
        result: Tensor = image + self.answer(seen)
        return result


def sinusoids(time: Tensor, length: int) -> Tensor:
    """Return sines and cosines of times ``[B]`` at ``length / 2`` frequencies, ``[B, length]``.

    The frequencies fall from 1 to 1e-4 geometrically (Vaswani et al. 2017).
    """
    half = length // 2
    order = torch.arange(half, device=time.device) / max(half - 1, 1)
    phase = time[:, None].float() * torch.exp(-math.log(_SLOWEST) * order)
    return torch.cat((phase.sin(), phase.cos()), dim=1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)


def _silent(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that gives 0 until it has learned."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
