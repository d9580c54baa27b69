"""A method of one network that learns from another one, and noise to train it on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from uad_bench.method import FitContext, FloatArray, MethodInfo, Slices
from uad_bench.models.batches import Batch, in_batches
from uad_bench.training import DeepMethod, Loss, Player, Trainable, Turn

SIZE = 16


def slices(count: int, seed: int = 0) -> Slices:
    image = np.random.default_rng(seed).random((count, 1, SIZE, SIZE), np.float32)
    return Slices(image, np.ones(image.shape, np.bool_), np.arange(count), (1.0, 1.0, 1.0))


class Student(DeepMethod, Trainable):
    """A student that learns its teacher's features; where it fails to is anomalous."""

    info = MethodInfo("student", "Student")
    objective = ("distance",)

    def build(self) -> None:
        self.teacher_ = nn.Conv2d(1, 4, 3, padding=1)
        self.student_ = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4))

    def trainable(self, context: FitContext) -> Trainable:
        return self

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player("student", self.student_),)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        return Loss(self.distance(batch).mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return {"distance": self.distance(batch).mean(dim=(1, 2, 3))}

    def distance(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            wanted = self.teacher_(batch.image)
        square = (self.student_(batch.image) - wanted).square()
        return square.mean(dim=1, keepdim=True) * batch.brain

    @torch.inference_mode()
    def score(self, slices: Slices) -> FloatArray:
        for network in self.networks:
            network.eval()
        return 1 - np.exp(-in_batches(self.distance, slices, self.student_))  # in [0, 1)
