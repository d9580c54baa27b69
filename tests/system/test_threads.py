"""No more threads than a control group grants the time of, unless the user says how many."""

from __future__ import annotations

import os

import pytest

from uad_bench.system import threads


@pytest.mark.parametrize(
    ("granted", "said", "set_to"),
    [(2, None, "2"), (2, "5", "5"), (8, None, None), (8, "5", "5")],
)
def test_threads_follow_from_the_time_that_is_granted(monkeypatch, granted, said, set_to):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(threads, "cores", lambda: granted)
    environment = {} if said is None else {"OMP_NUM_THREADS": said}
    threads.set_threads(environment)
    assert environment.get("OMP_NUM_THREADS") == set_to
