"""Trainings that are killed halfway, so that a method has to go on from what was kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

STEPS = 2
"""Steps after which each training is killed, once."""


class Kills:
    """Keeps the states of a fit's trainings in memory, and kills each of them once."""

    def __init__(self) -> None:
        self._kept: list[bytes | None] = []
        self._training = 0

    @property
    def happened(self) -> bool:
        """Whether any training was killed."""
        return any(state is not None for state in self._kept)

    def begin(self) -> None:
        """Note that ``fit`` is called, the first time or after a kill."""
        self._training = 0

    @contextmanager
    def __call__(self) -> Iterator[_Memory]:
        """Give the next training of ``fit`` its checkpoint."""
        if self._training == len(self._kept):
            self._kept.append(None)
        yield _Memory(self._kept, self._training)
        self._training += 1


class _Memory:
    """The checkpoint of one training; see `uad_bench.method.Checkpoint`."""

    def __init__(self, kept: list[bytes | None], number: int) -> None:
        self._kept, self._number, self._steps = kept, number, 0

    def load(self) -> bytes | None:
        """Return the state that was kept last."""
        return self._kept[self._number]

    def is_due(self) -> bool:
        """Whether the training is to be killed now."""
        self._steps += 1
        return self._steps == STEPS and self.load() is None

    def save(self, state: bytes) -> None:
        """Keep a state, and kill the training."""
        self._kept[self._number] = state
        raise KeyboardInterrupt
