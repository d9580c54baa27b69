"""uad-bench: unsupervised anomaly detection in brain MRI, under one written protocol."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uad_bench.arrays import evaluate
    from uad_bench.dataset import Dataset
    from uad_bench.errors import UadBenchError
    from uad_bench.front.data import prepare
    from uad_bench.front.detector import Detector, fit, load_detector
    from uad_bench.front.loading import import_results, load_results
    from uad_bench.front.maps import evaluate_folder
    from uad_bench.front.prediction import Prediction
    from uad_bench.front.reproduce import Reproduction, reproduce
    from uad_bench.front.results import Results
    from uad_bench.front.run import run
    from uad_bench.front.sweep import sweep
    from uad_bench.front.tuning import tune
    from uad_bench.method import Method

__all__ = [
    "Dataset",
    "Detector",
    "Method",
    "Prediction",
    "Reproduction",
    "Results",
    "UadBenchError",
    "__version__",
    "evaluate",
    "evaluate_folder",
    "fit",
    "import_results",
    "load_detector",
    "load_results",
    "prepare",
    "reproduce",
    "run",
    "sweep",
    "tune",
]

__version__ = "0.2.0"

_HOMES = {
    "Dataset": "uad_bench.dataset",
    "Detector": "uad_bench.front.detector",
    "Method": "uad_bench.method",
    "Prediction": "uad_bench.front.prediction",
    "Reproduction": "uad_bench.front.reproduce",
    "Results": "uad_bench.front.results",
    "UadBenchError": "uad_bench.errors",
    "evaluate": "uad_bench.arrays",
    "evaluate_folder": "uad_bench.front.maps",
    "fit": "uad_bench.front.detector",
    "import_results": "uad_bench.front.loading",
    "load_detector": "uad_bench.front.detector",
    "load_results": "uad_bench.front.loading",
    "prepare": "uad_bench.front.data",
    "reproduce": "uad_bench.front.reproduce",
    "run": "uad_bench.front.run",
    "sweep": "uad_bench.front.sweep",
    "tune": "uad_bench.front.tuning",
}
"""The module of each public name. It is imported when the name is first used."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
