"""How many threads share the work, and how they wait for each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

from uad_bench.system.machine import cores

_SPINS = 1000
"""Turns before an idle thread sleeps: what OpenMP takes itself where threads outnumber cores."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Where OpenMP, which torch uses, the libraries behind numpy, and numba read how many threads."""


def set_threads(environment: MutableMapping[str, str]) -> None:
    """Have no more threads than cores, and let those of GNU's OpenMP sleep soon when they are idle.

    OpenMP, which torch brings, counts the cores that this process may run on, but not the share of
    their time that a container or a cluster grants it. By default its threads spin for
    milliseconds. Where another program keeps a core busy, each small operation then waits for the
    thread that was driven out: a training step of two threads took up to ten times as long. What
    the user says of either stays. Call it before torch is imported.

    Args:
        environment: of this process.
    """
    if environment.keys().isdisjoint({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}):
        environment["GOMP_SPINCOUNT"] = str(_SPINS)
    if cores() < len(os.sched_getaffinity(0)):
        environment.setdefault("OMP_NUM_THREADS", str(cores()))


def share_threads(environment: MutableMapping[str, str], count: int) -> None:
    """Let the libraries of a process use so many threads, as far as they are not loaded yet.

    Args:
        environment: of that process.
        count: its threads.
    """
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(count)))


def asked_threads(environment: Mapping[str, str]) -> int | None:
    """Return how many threads the user wants a process to have, ``None`` where that is not said."""
    said = environment.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else None
