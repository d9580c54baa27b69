"""One training loop for every deep method, and the base class that ties it to the contract."""

from uad_bench.training.params import PAPER, PAPER_TRAINING, DeepParams, TrainingParams
from uad_bench.training.reconstruction import DeepReconstruction

__all__ = ["PAPER", "PAPER_TRAINING", "DeepParams", "DeepReconstruction", "TrainingParams"]
