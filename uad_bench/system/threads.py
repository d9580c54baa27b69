"""How threads that share the work wait for each other."""

from __future__ import annotations

from collections.abc import MutableMapping

_SPINS = 1000
"""Turns before an idle thread sleeps: what OpenMP takes itself where threads outnumber cores."""


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let the threads of GNU's OpenMP, which torch brings, sleep soon when they are idle.

    By default they spin for milliseconds. Where another program keeps a core busy, each small
    operation then waits for the thread that was driven out: a training step of two threads took
    up to ten times as long. What the user says of it stays. Call it before torch is imported.

    Args:
        environment: of this process.
    """
    if environment.keys().isdisjoint({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}):
        environment["GOMP_SPINCOUNT"] = str(_SPINS)
