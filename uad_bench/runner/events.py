"""What a run tells while it goes on. Listeners show, draw or record it; none changes a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uad_bench.cells import CellRecord
from uad_bench.runner.failures import failure_reason

if TYPE_CHECKING:  # the command line's progress needs no numpy
    import numpy as np
    from numpy.typing import NDArray

    from uad_bench.method import FloatArray


@dataclass(frozen=True, slots=True)
class Started:
    """A part of the work begins, such as ``train spa, seed 0``.

    Attributes:
        text: what begins.
        worker: who does it, where several do.
    """

    text: str
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Progressed:
    """The current part, of a worker where there are several, has done ``done`` of ``total``."""

    done: int
    total: int
    detail: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker, of several, has done its part."""

    worker: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something the user should read, such as a scan that is left out."""

    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """The slice that a cell's picture shows.

    Attributes:
        scan: name of the scan.
        image: float32 ``[H, W]``.
        lesion: uint8 ``[H, W]``.
        reconstruction: float32 ``[H, W]``, ``None`` where the method makes none.
        scores: per post-processing, float32 ``[H, W]``.
    """

    scan: str
    image: FloatArray
    lesion: NDArray[np.uint8]
    reconstruction: FloatArray | None
    scores: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class CellScored:
    """A cell has its numbers, and is about to be written.

    Attributes:
        record: the cell.
        example: a slice to show, ``None`` where no scan has a lesion.
        mark: what its post-processing puts behind the method's title.
    """

    record: CellRecord
    example: Example | None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class CellWritten:
    """A cell, finished or failed, is in the results folder."""

    record: CellRecord


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job failed, and what depends on it."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job of this key ended, whatever came of it, after ``seconds``."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Overall:
    """How far the whole run is.

    Attributes:
        done: finished and failed cells.
        total: all cells.
        left_s: seconds that the rest should take; ``None`` where it is not known yet.
    """

    done: int
    total: int
    left_s: float | None


Event = (
    Started | Progressed | Ended | Noted | CellScored | CellWritten | JobFailed | JobEnded | Overall
)

Listener = Callable[[Event], None]
"""Is called with every event, one after the other, from any thread; it should return at once."""


def unheard(_: Event) -> None:
    """Listen, and do nothing: the listener of what is on its way to another process."""


def told(listeners: Iterable[Listener]) -> Listener:
    """Return one listener that passes events on to all of these, in order.

    A listener that fails hears no more, and the others are told. A disk that is full stops the run.
    """
    left = list(listeners)

    def tell(event: Event) -> None:
        for listener in tuple(left):
            try:
                listener(event)
            except Exception as error:
                reason = failure_reason(error)
                left.remove(listener)
                tell(Noted(f"{getattr(listener, '__name__', listener)} stopped: {reason}"))

    return tell
