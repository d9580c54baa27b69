"""Python's garbage collector, paused while much is built that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Do not search for garbage while the block runs.

    The search looks at every object that there is, again and again while their number grows: half
    of the time that reading tens of thousands of records takes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
