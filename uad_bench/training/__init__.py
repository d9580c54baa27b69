"""One training loop for every deep method, and the base class that ties it to the contract."""

from uad_bench.training.params import PAPER, PAPER_TRAINING, DeepParams, TrainingParams
from uad_bench.training.reconstruction import DeepReconstruction
from uad_bench.training.selection import VALIDATION_SLICES

__all__ = [
    "PAPER",
    "PAPER_TRAINING",
    "VALIDATION_SLICES",
    "DeepParams",
    "DeepReconstruction",
    "TrainingParams",
]
