"""What a checkpoint a minute costs a training at width 32, batch 2."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._slices import METHODS, context, detector, slices
from benchmarks.measure import Row, at_most, shown_seconds
from uad_bench.method import Checkpoint
from uad_bench.runner.detectors.checkpoints import EVERY_S, Checkpoints
from uad_bench.training import train_players

STEPS = 10


@dataclass(slots=True)
class _Timed:
    """Keeps the state after every step, and takes the time."""

    kept: Checkpoint
    seconds: list[float] = field(default_factory=list)
    size: int = 0
    asked: float = 0.0

    def load(self) -> bytes | None:
        """Return nothing: the training begins."""
        return None

    def is_due(self) -> bool:
        """Whether to keep the state: always."""
        self.asked = time.perf_counter()
        return True

    def save(self, state: bytes) -> None:
        """Keep the state."""
        self.kept.save(state)
        self.size = len(state)
        self.seconds.append(time.perf_counter() - self.asked)


def measure() -> list[Row]:
    """Time what is written between two steps."""
    return [row for name in METHODS for row in measured(name)]


def measured(name: str) -> list[Row]:
    """Return the rows of one method."""
    timed: list[_Timed] = []
    with TemporaryDirectory() as folder:
        files = Checkpoints(Path(folder, name), name, "cpu", lambda _: None)

        @contextmanager
        def checkpoint() -> Iterator[_Timed]:
            with files() as kept:
                timed.append(_Timed(kept))
                yield timed[-1]

        here, data = context(checkpoint=checkpoint), slices(16)
        method = detector(name, here, steps=STEPS, checks=1, batch_size=2, perceptual_weight=0.0)
        train_players(method.trainable(here), method.params, data, data, here)
    seconds, size = statistics.median(timed[0].seconds), timed[0].size
    work = f"{name.upper()}, a checkpoint of {size / 1e6:.3g} MB"
    return [
        Row(work=work, ours=shown_seconds(seconds), got=""),
        at_most(f"{name.upper()}, share of the time", 100 * seconds / EVERY_S, "%", 1),
    ]
