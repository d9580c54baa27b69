"""Who fails: one method, whose reason is told, or the run, which cannot go on for anybody."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from uad_bench import errors
from uad_bench.errors import RunError, UadBenchError
from uad_bench.runner.failures import failure_reason, in_one_line
from uad_bench.system.disk import full_disk, storage_error
from uad_bench.system.locks import HeldError
from uad_bench.tuning.storage import Database
from uad_bench.volumes.store.prepared import PreparedDataset

OF_A_METHOD = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, UadBenchError) and kind is not RunError
]


@pytest.mark.parametrize("kind", OF_A_METHOD)
def test_what_is_raised_of_one_method_is_told(kind: type[UadBenchError]) -> None:
    assert failure_reason(kind("lower batch_size")) == "lower batch_size"


def raised_by_a_database() -> UadBenchError:
    """What a run is told that cannot reach its team's database."""
    with pytest.raises(UadBenchError) as caught:
        Database("sqlite:////nowhere/at/all.db").refuse_unreachable()
    return caught.value


def raised_by_a_prepared_dataset() -> UadBenchError:
    """What every method would be told whose data are gone."""
    with pytest.raises(UadBenchError) as caught:
        PreparedDataset.open(Path("nowhere"))
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        full_disk(None),
        storage_error(PermissionError(13, "Permission denied"), Path("results")),
        HeldError(Path("lock"), None),
        raised_by_a_database(),
        raised_by_a_prepared_dataset(),
    ],
    ids=lambda error: str(error)[:30],
)
def test_what_stops_every_method_stops_the_run(error: UadBenchError) -> None:
    with pytest.raises(RunError) as caught:
        failure_reason(error)
    assert caught.value is error
    assert in_one_line(error) == str(error)
    elsewhere = pickle.loads(pickle.dumps(error))  # a worker raised it
    assert isinstance(elsewhere, RunError)
    assert str(elsewhere) == str(error)


def test_an_interrupt_is_no_reason() -> None:
    with pytest.raises(KeyboardInterrupt):
        in_one_line(interrupted())


def interrupted() -> SystemError:
    """What compiled code ends with that Ctrl-C ended."""
    error = SystemError("a result with an exception set")
    error.__context__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 2 GiB"), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\n."),
            "or use device cpu",
        ),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), "or use device cpu"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "or use device cpu"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "or use device cpu"),
        (RuntimeError("CUDA error: an illegal memory access"), "RuntimeError: CUDA error: an ill"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_too_little_memory_says_so_wherever_it_is_met(error: Exception, said: str) -> None:
    """A device may be full before a training begins: where a network is put there, for one."""
    reason = failure_reason(error)
    assert said in reason
    assert "\n" not in reason
    assert "Tried to allocate" not in reason
