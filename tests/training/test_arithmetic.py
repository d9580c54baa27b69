"""In which precision a training computes, and whether torch is held to what repeats itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uad_bench.errors import UadBenchError
from uad_bench.method import Method
from uad_bench.plugins.conformance.toy import toy_dataset
from uad_bench.plugins.registry import open_registry
from uad_bench.training import TrainingParams
from uad_bench.training.loop.arithmetic import casting, repeatable

SMALL = {"width": 4, "steps": 2, "batch_size": 4, "checks": 1}
CPU = torch.device("cpu")


def trained() -> list[type[Method]]:
    """The methods with a training of their own that need no file of the user's."""
    registry = open_registry(None)
    found = []
    for method in map(registry.method, registry.names("method")):
        if issubclass(method.Params, TrainingParams) and method.trained_as is None:
            try:
                method.resolve(method.Params())
            except UadBenchError:
                continue
            found.append(method)
    return found


@pytest.mark.parametrize("cls", trained(), ids=lambda cls: cls.info.name)
def test_every_training_runs_in_bfloat16_and_leaves_weights_and_scores_of_float32(
    cls: type[Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {name: value for name, value in SMALL.items() if name in cls.Params.model_fields}
    toy = toy_dataset()
    train, validation = toy.slices(cls.info.needs)
    seen = set()
    convolution = torch.nn.functional.conv2d

    def watch(image, *args, **kwargs):
        found = convolution(image, *args, **kwargs)
        seen.add(found.dtype)
        return found

    monkeypatch.setattr(torch.nn.functional, "conv2d", watch)
    method = cls(cls.Params(**values, precision="bfloat16"))
    report = method.fit(train, validation, toy.context(cls.info.needs, 0))
    assert torch.bfloat16 in seen, "the forward pass was in bfloat16"
    seen.clear()
    assert np.isfinite(list(report.validation.values())).all()
    method.calibrate(validation, toy.context(cls.info.needs, 0))
    score = method.score(validation)
    assert np.isfinite(score).all()
    assert torch.bfloat16 not in seen, "scores are of float32"
    assert {array.dtype for array in method.state().values() if array.dtype.kind == "f"} <= {
        np.dtype(np.float32),
        np.dtype(np.float64),
    }


def flags() -> tuple[bool, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )


@pytest.mark.parametrize(
    ("device", "deterministic", "expected"),
    [
        ("cpu", True, (False, False, True, False)),
        ("cpu", False, (False, False, False, True)),
        ("cuda", True, (True, True, True, False)),
        ("cuda", False, (False, False, False, True)),
    ],
)
def test_torch_is_held_to_what_repeats_itself_inside_alone(
    device: str,
    deterministic: bool,
    expected: tuple[bool, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = flags()
    params = TrainingParams(deterministic=deterministic)
    inside = []

    def train() -> None:
        with repeatable(torch.device(device), params):
            inside.append(flags())
            raise KeyError

    with pytest.raises(KeyError):
        train()
    assert inside == [expected]
    assert flags() == before


def test_what_the_user_set_otherwise_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    with repeatable(CPU, TrainingParams()):
        assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("name", ["vae-restoration", "cevae-gradient", "cevae-combined"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_scores_by_gradients_repeat_themselves_as_a_training_does(
    name: str, deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = open_registry(None).method(name)
    toy = toy_dataset()
    train, validation = toy.slices(cls.info.needs)
    restores = name == "vae-restoration"
    more = {"restoration_steps": 20, "clip": 1e-3} if restores else {}
    method = cls(cls.Params(**SMALL, **more, deterministic=deterministic))
    method.fit(train, validation, toy.context(cls.info.needs, 0))
    method.calibrate(validation, toy.context(cls.info.needs, 0))
    seen, gradient = [], torch.autograd.grad

    def watch(*args, **kwargs):
        seen.append(torch.backends.cudnn.deterministic)
        return gradient(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", watch)
    before = flags()
    (method.reconstruct if restores else method.score)(validation)
    assert set(seen) == {deterministic}
    assert flags() == before


def test_float32_stays_as_it_is() -> None:
    values = torch.ones(2, 2)
    with casting(CPU, TrainingParams()):
        assert (values @ values).dtype == torch.float32
    with casting(CPU, TrainingParams(precision="bfloat16")):
        assert (values @ values).dtype == torch.bfloat16
    assert (values @ values).dtype == torch.float32
