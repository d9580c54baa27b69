"""Trainings that are not finished, on disk: one that was killed goes on where it was.

A file has one line of JSON, which says what the rest is, and the state that the training gave.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.runner.environment import versions
from uad_bench.runner.events import Listener, Noted
from uad_bench.system.disk import write_whole
from uad_bench.system.signals import Interrupt, interrupts_noted
from uad_bench.system.text import duration

EVERY_S = 60.0
"""Seconds between two checkpoints."""


class _Header(BaseModel):
    """What a checkpoint is; where ``made_by`` differs, its training would end in other numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_by: dict[str, str]
    trained_s: float
    sha256: str


class Checkpoints:
    """The checkpoints of one detector: a file per training of its ``fit``, in their order.

    The detector's key names their folder, so that they have its code, parameters, seed and data.
    """

    def __init__(self, detector: Path, what: str, device: str, tell: Listener) -> None:
        """Read nothing yet.

        Args:
            detector: the folder of the detector, which is not there yet.
            what: the training, for the user.
            device: where it runs.
            tell: told where a training goes on, and what is wrong with a checkpoint.
        """
        self._folder = detector.with_name(f".training-{detector.name}")
        self._what, self._tell = what, tell
        self._made_by = {**versions(), "device": device.partition(":")[0]}
        self._trainings = 0
        self._started = time.monotonic()
        self.earlier_s = 0.0
        """Seconds of training before this process."""

    @contextmanager
    def __call__(self) -> Iterator[_Checkpoint]:
        """Give the next training of ``fit`` its checkpoint."""
        self._trainings += 1
        with interrupts_noted() as interrupt:
            yield _Checkpoint(self, self._folder / str(self._trainings), interrupt)

    def remove(self) -> None:
        """Remove all checkpoints of the detector."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self, file: Path) -> bytes | None:
        """Return the state in a file; ``None`` where there is none that this training can use."""
        try:
            line, _, state = file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            self.tell(f"cannot read its checkpoint ({error.strerror}), so it begins anew")
            return None
        header = _header(line)
        if header is None or hashlib.sha256(state).hexdigest() != header.sha256:
            self.tell("its checkpoint is damaged, so it begins anew")
            return None
        if others := _differences(header.made_by, self._made_by):
            self.tell(f"its checkpoint is of {others}, so it begins anew")
            return None
        self.earlier_s = max(self.earlier_s, header.trained_s)
        self.tell(f"goes on from its checkpoint, after {duration(header.trained_s)}")
        return state

    def write(self, file: Path, state: bytes) -> None:
        """Keep a state; the one before stays whole until then.

        Raises:
            UadBenchError: it cannot be written.
        """
        header = _Header(
            made_by=self._made_by,
            trained_s=self.earlier_s + time.monotonic() - self._started,
            sha256=hashlib.sha256(state).hexdigest(),
        )
        write_whole(file, header.model_dump_json().encode() + b"\n" + state)

    def tell(self, text: str) -> None:
        """Tell the user something about the training."""
        self._tell(Noted(f"{self._what}: {text}"))


class _Checkpoint:
    """The checkpoint of one training; see `uad_bench.method.Checkpoint`."""

    def __init__(self, all_of_fit: Checkpoints, file: Path, interrupt: Interrupt) -> None:
        self._all, self._file, self._interrupt = all_of_fit, file, interrupt
        self._last = time.monotonic()
        self._is_refused = False

    def load(self) -> bytes | None:
        """Return the state that was kept last."""
        return self._all.read(self._file)

    def is_due(self) -> bool:
        """Whether a minute has passed, or the user asked to stop."""
        return self._interrupt.is_asked or time.monotonic() - self._last >= EVERY_S

    def save(self, state: bytes) -> None:
        """Keep a state; a disk that refuses it is told once, and the training goes on.

        Raises:
            KeyboardInterrupt: the user asked to stop.
        """
        try:
            self._all.write(self._file, state)
        except UadBenchError as error:
            if not self._is_refused:
                self._all.tell(f"goes on without a new checkpoint: {error}")
            self._is_refused = True
        self._last = time.monotonic()
        if self._interrupt.is_asked:
            raise KeyboardInterrupt


def _header(line: bytes) -> _Header | None:
    """What a checkpoint says of itself, ``None`` where it cannot be read."""
    try:
        return _Header.model_validate_json(line)
    except ValidationError:
        return None


def _differences(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """What a checkpoint was made by, and what is here instead, such as ``torch 2.12, not 2.13``."""
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    return ", ".join(f"{n} {theirs.get(n, 'none')}, not {ours.get(n, 'none')}" for n in names)
