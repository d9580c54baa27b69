"""How many threads share the work, and how they wait for each other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from uad_bench.system.machine import cores

_SPINS = 1000
"""Turns before an idle thread sleeps: what OpenMP takes itself where threads outnumber cores."""


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
