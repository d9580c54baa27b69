"""What a cell says of where it was computed, and which devices are taken."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from uad_bench.errors import UadBenchError
from uad_bench.runner import environment
from uad_bench.runner.environment import Stopwatch, git_commit, resolve_device


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


def test_a_gpu_whose_driver_is_too_old_is_one_line(monkeypatch):
    def ones(*_, **__):
        raise RuntimeError("The NVIDIA driver on your system is too old (found 11040). Please\n...")

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(UadBenchError, match="driver on your system is too old") as caught:
        resolve_device("cuda")
    assert "\n" not in str(caught.value)


def test_a_gpu_that_has_memory_but_cannot_compute_is_one_line(monkeypatch):
    """A GPU that this torch was not built for gives memory, and refuses to fill it."""
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)

    def ones(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution\n...")

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(UadBenchError, match="no kernel image is available") as caught:
        resolve_device("cuda")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "has_gpu", "expected"),
    [("auto", True, ":4096:8"), ("cuda:1", True, ":4096:8"), ("auto", False, None)],
)
def test_a_gpu_repeats_itself_whatever_it_multiplied_before_a_training(
    monkeypatch, device, has_gpu, expected
):
    """cuBLAS reads it at its first product, which may be the scoring of another method."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: None)
    resolve_device(device)
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None) == expected
