"""DINOv2's vision transformer with the user's weights (Oquab et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uad_bench.models.backbones.contract import STRIDE, Backbone, coloured
from uad_bench.models.batches import Batch

PATCH = 14
"""Pixels of a picture per token, along each side."""

_TRAINED_GRID = 37
"""Tokens along each side of the pictures for which positions were learnt."""

_NORM_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Design:
    """What tells one such transformer from another.

    Attributes:
        width: of a token.
        depth: blocks.
        heads: of the attention.
    """

    width: int
    depth: int
    heads: int

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the one layer that is taken."""
        return (self.width,)

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return the keys and shapes that a state dict must have; others are ignored."""
        width = self.width
        found: dict[str, tuple[int, ...]] = {
            "cls_token": (1, 1, width),
            "pos_embed": (1, 1 + _TRAINED_GRID**2, width),
            "patch_embed.proj.weight": (width, 3, PATCH, PATCH),
            "patch_embed.proj.bias": (width,),
            "norm.weight": (width,),
            "norm.bias": (width,),
        }
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


DESIGNS = {"dinov2-vits14": Design(width=384, depth=12, heads=6)}


class VisionTransformer(Backbone):
    """The tokens of the last block, one per place of the grid.

    Slices are enlarged so that a token covers the pixels of one place: 3.5 times.

    Args:
        design: which one.
        state: its state dict, with all that the design expects.
        source: which weights these are.
    """

    def __init__(self, design: Design, state: Mapping[str, Tensor], source: str) -> None:
        self.source, self._design = source, design
        self._state = {key: state[key] for key in design.expected()}

    def layers(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the tokens, normalised by the network's last layer."""
        height, width = (length // STRIDE for length in batch.image.shape[2:])
        picture = nn.functional.interpolate(
            coloured(batch.image), (height * PATCH, width * PATCH), mode="bilinear"
        )
        name = "patch_embed.proj"
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        tokens = nn.functional.conv2d(picture, weight, bias, PATCH).flatten(2).transpose(1, 2)
        first = self._state["cls_token"].expand(len(tokens), -1, -1)
        tokens = torch.cat((first, tokens), dim=1) + self._positions(height, width)
        for index in range(self._design.depth):
            tokens = self._block(f"blocks.{index}.", tokens)
        tokens = self._norm("norm", tokens)[:, 1:]
        yield tokens.transpose(1, 2).reshape(len(tokens), -1, height, width)

    def _positions(self, height: int, width: int) -> Tensor:
        """The learnt positions, brought to another grid (bicubic)."""
        learnt = self._state["pos_embed"]
        first, rest = learnt[:, :1], learnt[:, 1:]
        grid = rest.transpose(1, 2).reshape(1, -1, _TRAINED_GRID, _TRAINED_GRID)
        grid = nn.functional.interpolate(grid, (height, width), mode="bicubic")
        return torch.cat((first, grid.flatten(2).transpose(1, 2)), dim=1)

    def _block(self, name: str, tokens: Tensor) -> Tensor:
        """Attention, then two layers on each token; each is added, scaled."""
        count, length, width = tokens.shape
        heads = (count, length, self._design.heads, width // self._design.heads)
        joint = self._line(f"{name}attn.qkv", self._norm(f"{name}norm1", tokens))
        query, key, value = (part.reshape(heads).transpose(1, 2) for part in joint.chunk(3, dim=2))
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
        return nn.functional.layer_norm(tokens, weight.shape, weight, bias, _NORM_EPSILON)
