"""What a stored detector holds of the people that it learned from, and what it lacks to score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import safe_open

from uad_bench.method import Method
from uad_bench.plugins.code import modules_of
from uad_bench.runner.detectors.folder import STATE, DetectorRecord
from uad_bench.sharing.paths import has_root

_MEMORY_BLOCK = "uad_bench.models.features.coreset"
"""The building block of methods that keep features of single places of training scans."""


def held_of_people(method: type[Method]) -> str:
    """Say in a phrase what a detector of a method holds of its training people."""
    if _MEMORY_BLOCK in modules_of(method):
        return (
            "features of single patches of the scans that it learned from: share it only where "
            "data derived from these scans may be shared"
        )
    return (
        "weights or averages over the scans that it learned from; a network can carry traces of "
        "single scans"
    )


def files_of_user(folder: Path, record: DetectorRecord, method: type[Method]) -> tuple[str, ...]:
    """Return the files outside of its folder that a detector names, in parameters or state.

    Args:
        folder: of the detector.
        record: what it says.
        method: its method.
    """
    params = method.Params.model_validate(record.params)
    with safe_open(folder / STATE, framework="numpy") as arrays:
        state = json.loads(arrays.get_tensor("structure").tobytes())
    return tuple(dict.fromkeys((*_paths(params), *filter(has_root, _texts(state)))))


def _paths(params: BaseModel) -> Iterator[str]:
    """Yield the paths among parameters; of an ensemble, those of its members too."""
    for name in type(params).model_fields:
        value = getattr(params, name)
        if isinstance(value, BaseModel):
            yield from _paths(value)
        elif isinstance(value, Path):
            yield str(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else ():
        yield from _texts(part)
    for part in value if isinstance(value, list) else ():
        yield from _texts(part)
