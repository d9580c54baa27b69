"""DINOv3's weights as transformers writes them, in the layout of the network's authors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_NAMES = (
    ("embeddings.patch_embeddings.", "patch_embed.proj."),
    ("embeddings.register_tokens", "storage_tokens"),
    ("embeddings.", ""),
    ("layer.", "blocks."),
    (".layer_scale1.lambda1", ".ls1.gamma"),
    (".layer_scale2.lambda1", ".ls2.gamma"),
    (".mlp.up_proj.", ".mlp.fc1."),
    (".mlp.down_proj.", ".mlp.fc2."),
    (".attention.o_proj.", ".attn.proj."),
)
"""Parts of keys there, and what the authors write."""

_QUERY = "attention.q_proj.weight"


def in_authors_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of DINOv3 in its authors' layout; one that is in it stays as it is.

    Args:
        state: of the authors' model, or of the ``DINOv3ViTModel`` of transformers.
    """
    found = dict(state)
    if "embeddings.cls_token" not in state:
        return found
    for theirs, ours in _NAMES:
        found = {key.replace(theirs, ours): value for key, value in found.items()}
    for block in [key.removesuffix(_QUERY) for key in found if key.endswith(_QUERY)]:
        query, key, value = (found.get(f"{block}attention.{part}_proj.weight") for part in "qkv")
        if query is not None and key is not None and value is not None:
            found[f"{block}attn.qkv.weight"] = torch.cat((query, key, value))
        query, value = (found.get(f"{block}attention.{part}_proj.bias") for part in "qv")
        if query is not None and value is not None:
            found[f"{block}attn.qkv.bias"] = torch.cat((query, torch.zeros_like(query), value))
    return found
