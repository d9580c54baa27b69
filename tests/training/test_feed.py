"""Slices are on the device where they fit, and no step waits for it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_method import Encoder, Tiny, brains, fit
from torch.utils._python_dispatch import TorchDispatchMode

from uad_bench.errors import DeviceMemoryError
from uad_bench.method import FitContext
from uad_bench.models.batches import Batch
from uad_bench.models.corruption.self_supervision import clean
from uad_bench.runner.failures import failure_reason
from uad_bench.training import VariationalParams
from uad_bench.training.loop.feed import feed, resident


class Waits(TorchDispatchMode):
    """Counts what would wait for a GPU: values that Python looks at, and shapes made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        self.count += name in {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("given", [{}, {"corruption": "noise"}, {"clean_target": True}], ids=str)
def test_no_step_waits_for_the_device(given, monkeypatch):
    monkeypatch.setattr("uad_bench.training.loop.feed.free_memory", lambda _: 1 << 40)
    data = brains(24)
    data.image[::2, 0, 15:17, 15:17] = 1.0
    waits = []
    for steps in (2, 9):
        with Waits() as counted:
            fit(train=data, steps=steps, checks=1, perceptual_weight=0.1, **given)
        waits.append(counted.count)
    assert waits[0] == waits[1] > 0


@pytest.mark.gpu
@pytest.mark.parametrize("clean_target", [False, True])
def test_no_step_waits_for_a_gpu(clean_target):
    waits = []
    for steps in (2, 9):
        given = {"steps": steps, "batch_size": 4, "checks": 1, "clean_target": clean_target}
        method = Tiny(VariationalParams(**given))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                method.fit(brains(24), brains(10, seed=1), FitContext(0, device="cuda:0"))
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchronizing" in str(one.message) for one in said))
    assert waits[0] == waits[1] > 0  # before and after the steps it does wait, and says so


@pytest.mark.gpu
def test_a_gpu_learns_what_the_cpu_learns():
    found = []
    for device in ("cpu", "cuda:0"):
        method = Tiny(VariationalParams(steps=20, batch_size=4, corruption="none", snr=1e6))
        report = method.fit(brains(24), brains(10, seed=1), FitContext(0, device=device))
        found.append(report.validation["l1"])
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_slices_on_the_device_make_the_same_batches():
    data, device = brains(600), torch.device("cpu")
    data.image[:, 0, 15:17, 15:17] = 1.0

    def cleaned(batch: Batch) -> Batch:
        return replace(batch, target=clean(batch.image, batch.brain))

    order = np.random.default_rng(0).integers(600, size=(5, 4))
    for rows, batch in zip(order, resident(data, order, device, cleaned), strict=True):
        expected = cleaned(Batch.read(data, rows, device))
        assert not torch.equal(expected.target, expected.image)
        assert all(
            torch.equal(getattr(batch, name), getattr(expected, name))
            for name in ("image", "brain", "z", "target")
        )
        assert batch.spacing == expected.spacing


def test_slices_stay_on_the_device_where_they_fit_with_room_to_spare(monkeypatch):
    data, device = brains(8), torch.device("cpu")
    made = []
    monkeypatch.setattr(
        "uad_bench.training.loop.feed.resident", lambda *_: made.append(1) or iter(())
    )
    size = data.image.nbytes + data.brain.nbytes
    with_targets = size + data.image.nbytes
    for needed, prepare in (
        (size, lambda batch: batch),
        (with_targets, lambda batch: replace(batch, target=batch.image)),
    ):
        made.clear()
        for free in (0, 4 * needed - 1, 4 * needed):
            monkeypatch.setattr(
                "uad_bench.training.loop.feed.free_memory", lambda _, free=free: free
            )
            feed(data, np.zeros((1, 2), np.int64), device, prepare)
        assert len(made) == 1


@pytest.mark.parametrize("task", ["fit", "score"])
def test_too_little_memory_is_one_line(monkeypatch, task):
    method = fit(steps=1)[0]

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee ...")

    monkeypatch.setattr(Encoder, "forward", fail)
    with pytest.raises(DeviceMemoryError, match="cpu has too little memory") as caught:
        fit(steps=1) if task == "fit" else method.score(brains(1))
    assert "\n" not in str(caught.value)
    assert failure_reason(caught.value) == str(caught.value)  # of this method, not of the run
