"""What a run tells while it goes on. Listeners show, draw or record it; none changes a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from uad_bench.cells import CellRecord
from uad_bench.runner.failures import failure_reason


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
    """A job ended, whatever came of it.

    Attributes:
        key: of the job; of the whole, where it is a part.
        seconds: how long it took.
        is_part: whether it is one of several parts, after which the whole is put together.
    """

    key: str
    seconds: float
    is_part: bool = False


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


Event = Started | Progressed | Ended | Noted | CellWritten | JobFailed | JobEnded | Overall

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
