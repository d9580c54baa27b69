"""Ctrl-C, and the SIGTERM that a cluster sends, at a moment of our own choice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.is_asked = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; interrupt at once if it is the second one."""
        if self.is_asked:
            signal.default_int_handler(number, frame)
        self.is_asked = True


@contextmanager
def interrupts_noted() -> Iterator[Interrupt]:
    """Note the first signal to stop, which otherwise interrupts whatever is in work.

    Signals that do not interrupt are left as they are, and so are threads other than the main one,
    which no signal interrupts.

    Raises:
        KeyboardInterrupt: at the end, where the user asked to stop.
    """
    interrupt = Interrupt()
    taken: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        both = (signal.SIGINT, signal.SIGTERM)
        taken += [one for one in both if signal.getsignal(one) is signal.default_int_handler]
    try:
        for one in taken:
            signal.signal(one, interrupt.note)
        yield interrupt
    finally:
        for one in taken:
            signal.signal(one, signal.default_int_handler)
        if interrupt.is_asked:
            raise KeyboardInterrupt
