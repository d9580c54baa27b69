"""What fit leaves in attributes that end in an underscore comes back as it was, or is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import nn

from uad_bench.errors import UadBenchError
from uad_bench.method import FitReport, Method, MethodInfo

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@dataclass(frozen=True, slots=True)
class Level:
    """A frozen dataclass of a field's own."""

    mean: NDArray[np.float64]
    label: str = "x"


@dataclass(frozen=True)
class Levels:
    """One that holds others."""

    all: tuple[Level, ...]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.all))


@dataclass
class Loose:
    """One that is not frozen."""

    value: int = 1


class Keeper(Method):
    """Keeps what it is given."""

    info = MethodInfo("keeper", "Keeper")
    kept_: Levels | None
    level_: list[Level]

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image


class Deep(Keeper):
    """Has a network."""

    def build(self):
        self.network_ = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def restored(method: Method) -> Method:
    """The method as it comes back from disk."""
    again = type(method)(method.params)
    again.load(load(save(method.state())))
    return again


def keeper(cls: type[Keeper] = Keeper, **values) -> Keeper:
    method = cls()
    for name, value in values.items():
        setattr(method, name, value)
    return method


@given(nested)
def test_numbers_text_and_what_is_made_of_them_come_back_equal_and_of_the_same_type(value):
    again = restored(keeper(value_=value)).value_
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.zeros((0, 3), np.float32),
        np.array(2.5),
        np.float32(0.1),
        np.int64(-3),
        np.bool_(True),
        np.array([True, False]),
        np.array([np.nan, -0.0, np.inf]),
    ],
    ids=repr,
)
def test_arrays_and_their_numbers_keep_type_shape_and_bits(value):
    for again in (
        restored(keeper(a_=value)).a_,
        restored(keeper(a_=[{"b": (value,)}])).a_[0]["b"][0],
    ):
        assert type(again) is type(value)
        assert again.dtype == value.dtype
        assert again.shape == value.shape
        assert again.tobytes() == value.tobytes()


def test_frozen_dataclasses_that_the_annotation_names_come_back():
    levels = Levels((Level(np.arange(3.0)), Level(np.ones(2), "y")))
    again = restored(keeper(kept_=levels, level_=[levels.all[1]]))
    assert isinstance(again.kept_, Levels)
    assert again.kept_.count == 2
    assert [level.label for level in again.kept_.all] == ["x", "y"]
    assert np.array_equal(again.kept_.all[0].mean, np.arange(3.0))
    assert isinstance(again.level_[0], Level)
    assert restored(keeper(kept_=None)).kept_ is None


def test_only_attributes_that_end_in_an_underscore_are_stored():
    again = restored(keeper(a_=1, b=2))
    assert vars(again) == {"params": again.params, "a_": 1}


def test_the_stored_state_does_not_change_with_the_method():
    values = np.zeros(3)
    state = keeper(a_=values).state()
    values[:] = 1
    assert not state["a_"].any()


def test_a_network_is_built_and_filled_and_ready_to_score_and_draws_nothing_global():
    method = Deep()
    method.build()
    for weight in method.network_.parameters():
        nn.init.normal_(weight)
    method.network_[1].running_mean.fill_(0.5)
    method.scale_ = 2.0
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    again = restored(method)
    assert torch.equal(torch.rand(2), expected)
    assert again.scale_ == 2.0
    assert not again.network_.training
    for name, value in method.network_.state_dict().items():
        assert torch.equal(again.network_.state_dict()[name], value)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "object"),
        (np.array(["text"]), "ndarray"),
        (Loose(), "Loose"),
        ({1}, "set"),
        (Path("x"), "PosixPath" if sys.platform != "win32" else "WindowsPath"),
        ([nn.Conv2d(1, 1, 1)], "Conv2d"),
        ({(1, 2): 3}, "dict"),
        (torch.zeros(2), "Tensor"),
    ],
)
def test_what_cannot_be_stored_is_one_line_with_its_attribute(value, what):
    with pytest.raises(UadBenchError, match=f"^odd_ holds a value of type {what}, which") as caught:
        keeper(odd_=value).state()
    assert "\n" not in str(caught.value)


def test_a_dataclass_that_no_annotation_names_is_refused_before_it_is_stored():
    with pytest.raises(UadBenchError, match=r"Keeper\.other_ holds a Level; say so in the class"):
        keeper(other_=Level(np.ones(1))).state()


def test_a_network_that_build_does_not_set_is_refused():
    method = keeper(network_=nn.Conv2d(1, 1, 1))
    with pytest.raises(UadBenchError, match=r"keeper: network_ .* build\(\) must set it"):
        restored(method)


def test_weights_of_another_network_and_a_state_of_another_version_are_one_line():
    method = keeper(Deep)
    method.build()
    state = method.state()
    wrong = {**state, "network_.0.weight": np.zeros((2, 1, 5, 5), np.float32)}
    for given_, match in (
        (wrong, "network_"),
        ({}, "train it again"),
        ({"mean": np.ones(1)}, "of another"),
    ):
        with pytest.raises(UadBenchError, match=match) as caught:
            Deep().load(given_)
        assert "\n" not in str(caught.value)


def test_a_method_without_a_network_is_stored_and_loaded_without_torch():
    code = (
        "import sys, numpy as np\n"
        "from uad_bench.method import FitReport, Method, MethodInfo\n"
        "class M(Method):\n"
        "    info = MethodInfo('m', 'm')\n"
        "    def fit(self, *given): return FitReport()\n"
        "    def score(self, slices): return slices.image\n"
        "m = M(); m.a_ = [np.ones(2), 1.5]; n = M(); n.load(m.state())\n"
        "assert n.a_[1] == 1.5 and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
