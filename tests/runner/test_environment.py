"""What a cell says of where it was computed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from uad_bench.runner import environment
from uad_bench.runner.environment import Stopwatch, git_commit


def test_the_commit_of_a_cell_is_that_of_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may be brought up to date while a run goes on with the code of before."""
    if git_commit() is None:
        pytest.skip("this is no checkout")
    said = ["before"]
    monkeypatch.setattr(
        environment.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said[0])
    )
    git_commit.cache_clear()
    try:
        watch = Stopwatch("cpu")
        git_commit.cache_clear()
        said[0] = "after"
        assert git_commit() == "after+"
        assert watch.read().git_commit == "before+"
    finally:
        git_commit.cache_clear()
