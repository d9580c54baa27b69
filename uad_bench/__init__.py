"""uad-bench: unsupervised anomaly detection in brain MRI, under one written protocol."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uad_bench.arrays import evaluate

__all__ = ["__version__", "evaluate"]

__version__ = "0.2.0"

_HOMES = {"evaluate": "uad_bench.arrays"}
"""The module of each public name. It is imported when the name is first used."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
