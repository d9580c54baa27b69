"""One training loop for every deep method, and the base classes that tie it to the contract."""

from uad_bench.training.deep import DeepMethod, DeepReconstruction
from uad_bench.training.loop.network import NetworkTraining
from uad_bench.training.loop.params import TrainingParams
from uad_bench.training.loop.selection import VALIDATION_SLICES
from uad_bench.training.loop.train import train_players
from uad_bench.training.loop.trainable import Loss, Player, Trainable, Turn
from uad_bench.training.reconstruction import (
    PAPER_TRAINING,
    NetworkReconstruction,
    ReconstructionParams,
)
from uad_bench.training.variational import (
    PAPER,
    VariationalParams,
    VariationalReconstruction,
    VariationalTraining,
)

__all__ = [
    "PAPER",
    "PAPER_TRAINING",
    "VALIDATION_SLICES",
    "DeepMethod",
    "DeepReconstruction",
    "Loss",
    "NetworkReconstruction",
    "NetworkTraining",
    "Player",
    "ReconstructionParams",
    "Trainable",
    "TrainingParams",
    "Turn",
    "VariationalParams",
    "VariationalReconstruction",
    "VariationalTraining",
    "train_players",
]
