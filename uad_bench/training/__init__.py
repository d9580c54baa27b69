"""One training loop for every deep method, and the base class that ties it to the contract."""

from uad_bench.training.params import PAPER, DeepParams
from uad_bench.training.reconstruction import DeepReconstruction

__all__ = ["PAPER", "DeepParams", "DeepReconstruction"]
