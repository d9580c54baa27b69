"""DINO's vision transformers with the user's weights (Oquab et al. 2024, Siméoni et al. 2025)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uad_bench.models.backbones.contract import STRIDE, Backbone, coloured
from uad_bench.models.batches import Batch

_PERIOD_BASE = 100
"""Pair k of n turns once per this to the power of k / n, in half lengths of a picture's side."""


@dataclass(frozen=True, slots=True)
class Design:
    """What tells one such transformer from another.

    Attributes:
        width: of a token.
        depth: blocks.
        heads: of the attention.
        patch: pixels of a picture per token, along each side.
        epsilon: added to the variance of a token before it is normalised.
        storage: tokens of no place, beside the class token.
        learnt_grid: tokens along each side of the pictures for which positions were learnt;
            ``None`` where queries and keys are rotated by their place instead. Keys then have no
            bias: what a file holds in its place was masked in training.
    """

    width: int
    depth: int
    heads: int
    patch: int
    epsilon: float
    storage: int = 0
    learnt_grid: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the one layer that is taken."""
        return (self.width,)

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return the keys and shapes that a state dict must have; others are ignored."""
        width = self.width
        found: dict[str, tuple[int, ...]] = {
            "cls_token": (1, 1, width),
            "patch_embed.proj.weight": (width, 3, self.patch, self.patch),
            "patch_embed.proj.bias": (width,),
            "norm.weight": (width,),
            "norm.bias": (width,),
        }
        if self.storage:
            found["storage_tokens"] = (1, self.storage, width)
        if self.learnt_grid is not None:
            found["pos_embed"] = (1, 1 + self.learnt_grid**2, width)
        lines = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
        for index in range(self.depth):
            block = f"blocks.{index}."
            for name, (outputs, inputs) in lines.items():
                found[f"{block}{name}.weight"] = (outputs * width, inputs * width)
                found[f"{block}{name}.bias"] = (outputs * width,)
            for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
                found[block + name] = (width,)
            for name in ("ls1.gamma", "ls2.gamma"):
                found[block + name] = (width,)
        return found


DESIGNS = {
    "dinov2-vits14": Design(384, 12, 6, patch=14, epsilon=1e-6, learnt_grid=37),
    "dinov3-vits16": Design(384, 12, 6, patch=16, epsilon=1e-5, storage=4),
}


class VisionTransformer(Backbone):
    """The tokens of the last block, one per place of the grid.

    Slices are enlarged so that a token covers the pixels of one place.

    Args:
        design: which one.
        state: its state dict, with all that the design expects.
        source: which weights these are.
    """

    def __init__(self, design: Design, state: Mapping[str, Tensor], source: str) -> None:
        self.source, self._design = source, design
        self._state = {key: state[key] for key in design.expected()}
        if design.learnt_grid is None:
            for index in range(design.depth):
                name = f"blocks.{index}.attn.qkv.bias"
                query, key, value = state[name].chunk(3)
                self._state[name] = torch.cat((query, torch.zeros_like(key), value))

    def layers(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the tokens, normalised by the network's last layer."""
        design = self._design
        height, width = (length // STRIDE for length in batch.image.shape[2:])
        picture = nn.functional.interpolate(
            coloured(batch.image), (height * design.patch, width * design.patch), mode="bilinear"
        )
        name = "patch_embed.proj"
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        tokens = nn.functional.conv2d(picture, weight, bias, design.patch)
        tokens = tokens.flatten(2).transpose(1, 2)
        first = [self._state["cls_token"].expand(len(tokens), -1, -1)]
        if design.storage:
            first.append(self._state["storage_tokens"].expand(len(tokens), -1, -1))
        tokens = torch.cat((*first, tokens), dim=1)
        angles = None
        if design.learnt_grid is None:
            angles = _angles(height, width, design.width // design.heads).to(tokens)
            angles = nn.functional.pad(angles, (0, 0, 1 + design.storage, 0))
        else:
            tokens = tokens + self._positions(height, width, design.learnt_grid)
        for index in range(design.depth):
            tokens = self._block(f"blocks.{index}.", tokens, angles)
        tokens = self._norm("norm", tokens)[:, 1 + design.storage :]
        yield tokens.transpose(1, 2).reshape(len(tokens), -1, height, width)

    def _positions(self, height: int, width: int, learnt_grid: int) -> Tensor:
        """The learnt positions, brought to another grid (bicubic)."""
        learnt = self._state["pos_embed"]
        first, rest = learnt[:, :1], learnt[:, 1:]
        grid = rest.transpose(1, 2).reshape(1, -1, learnt_grid, learnt_grid)
        grid = nn.functional.interpolate(grid, (height, width), mode="bicubic")
        return torch.cat((first, grid.flatten(2).transpose(1, 2)), dim=1)

    def _block(self, name: str, tokens: Tensor, angles: Tensor | None) -> Tensor:
        """Attention, then two layers on each token; each is added, scaled."""
        count, length, width = tokens.shape
        heads = (count, length, self._design.heads, width // self._design.heads)
        joint = self._line(f"{name}attn.qkv", self._norm(f"{name}norm1", tokens))
        query, key, value = (part.reshape(heads).transpose(1, 2) for part in joint.chunk(3, dim=2))
        if angles is not None:
            query, key = _rotated(query, angles), _rotated(key, angles)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        seen = self._line(f"{name}attn.proj", seen.transpose(1, 2).flatten(2))
        tokens = tokens + seen * self._state[f"{name}ls1.gamma"]
        made = self._line(f"{name}mlp.fc1", self._norm(f"{name}norm2", tokens))
        made = self._line(f"{name}mlp.fc2", nn.functional.gelu(made))
        return tokens + made * self._state[f"{name}ls2.gamma"]

    def _line(self, name: str, tokens: Tensor) -> Tensor:
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        return nn.functional.linear(tokens, weight, bias)

    def _norm(self, name: str, tokens: Tensor) -> Tensor:
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        return nn.functional.layer_norm(tokens, weight.shape, weight, bias, self._design.epsilon)


def _angles(height: int, width: int, channels: int) -> Tensor:
    """By how much the pairs of a head's channels are turned, ``[h * w, channels / 2]``.

    The first half of the pairs turns with the row, the other with the column. Places are from
    -1 to 1 along either side, whatever its length.
    """
    turns = 2 * math.pi / _PERIOD_BASE ** (torch.arange(channels // 4) / (channels // 4))
    sides = ((2 * torch.arange(length) + 1) / length - 1 for length in (height, width))
    rows, columns = torch.meshgrid(*sides, indexing="ij")
    return (torch.stack((rows, columns), dim=-1)[..., None] * turns).flatten(2).flatten(0, 1)


def _rotated(tokens: Tensor, angles: Tensor) -> Tensor:
    """Tokens whose channel i and the one half a head further are turned as a pair."""
    one, other = tokens.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat((one * cosine - other * sine, other * cosine + one * sine), dim=-1)
