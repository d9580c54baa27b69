"""Pretrained networks that are never trained, behind one contract."""

from uad_bench.models.backbones.choice import (
    CHANNELS,
    BackboneName,
    LayeredName,
    SliceName,
    find_backbone,
    load_backbone,
)
from uad_bench.models.backbones.contract import STRIDE, Backbone, on_grid, share_inside

__all__ = [
    "CHANNELS",
    "STRIDE",
    "Backbone",
    "BackboneName",
    "LayeredName",
    "SliceName",
    "find_backbone",
    "load_backbone",
    "on_grid",
    "share_inside",
]
