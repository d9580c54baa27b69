"""Rows of the table: medians of interleaved runs, on one machine, in one process."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        work: what is done.
        ours: what was measured of this program, with its unit.
        peer: what it is compared with; empty for none.
        theirs: what was measured of the peer.
        got: the ratio, or another figure that is compared with the goal.
        goal: what is to be reached; empty where nothing is.
        reached: whether it is; ``None`` without a goal.
    """

    work: str
    ours: str
    peer: str = ""
    theirs: str = ""
    got: str
    goal: str = ""
    reached: bool | None = None


def timed(works: Mapping[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Return the median seconds of each work; they take turns, after one round that is not timed.

    Args:
        works: by name, what is timed.
        repeat: timed rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeat + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(some) for name, some in seconds.items()}


def compare(
    work: str,
    ours: Callable[[], Any],
    peers: Mapping[str, tuple[Callable[[], Any], float | None]],
    *,
    same: Callable[[Any, Any], bool] | None = None,
    repeat: int = 5,
) -> list[Row]:
    """Time one piece and its peers in turns, and say how many times as fast it is as each.

    Args:
        work: what is done.
        ours: does it.
        peers: by name: does the same, and the ratio that is to be reached.
        same: whether two results agree; asked of ours and each peer's before anything is timed.
        repeat: timed rounds.

    Raises:
        AssertionError: if a peer gives another result.
    """
    if same is not None:
        result = ours()
        for name, (peer, _) in peers.items():
            assert same(result, peer()), f"{work}: {name} gives another result"
    seconds = timed({"": ours} | {name: peer for name, (peer, _) in peers.items()}, repeat)
    return [
        ratio(work, seconds[""], name, seconds[name], goal) for name, (_, goal) in peers.items()
    ]


def peak_growth(work: Callable[[], Any]) -> float:
    """Return how many MB more than before were in memory at the peak of a work (Linux).

    Do some of it before, so that what is loaded and compiled the first time does not count.
    """
    ctypes.CDLL(None).malloc_trim(0)  # what is free goes back
    Path("/proc/self/clear_refs").write_text(
        "5", encoding="utf-8"
    )  # the peak is now what is in use
    before = _peak_mb()
    work()
    return _peak_mb() - before


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def ratio(work: str, ours: float, peer: str, theirs: float, goal: float | None = None) -> Row:
    """Return the row of two times in seconds."""
    times = theirs / ours
    return Row(
        work=work,
        ours=shown_seconds(ours),
        peer=peer,
        theirs=shown_seconds(theirs),
        got=f"{times:.3g}x" if times < 1000 else f"{times:.0f}x",
        goal="" if goal is None else f"{goal:g}x",
        reached=None if goal is None else times >= goal,
    )


def at_most(work: str, value: float, unit: str, goal: float | None = None) -> Row:
    """Return the row of a figure that is to be small."""
    return Row(
        work=work,
        ours=f"{value:.3g} {unit}",
        got=f"{value:.3g} {unit}",
        goal="" if goal is None else f"at most {goal:g} {unit}",
        reached=None if goal is None else value <= goal,
    )


def at_least(work: str, value: float, unit: str, goal: float | None = None) -> Row:
    """Return the row of a figure that is to be large."""
    return Row(
        work=work,
        ours=f"{value:.3g} {unit}",
        got=f"{value:.3g} {unit}",
        goal="" if goal is None else f"at least {goal:g} {unit}",
        reached=None if goal is None else value >= goal,
    )


def shown_seconds(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of ``log value`` over ``log size``: 1 is linear, 0 is flat."""
    return statistics.linear_regression(list(map(log, sizes)), list(map(log, values))).slope
