"""A method's parameters: a truth value is no number, and each one says what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from uad_bench.cli import main
from uad_bench.cli.options import parameters
from uad_bench.errors import UadBenchError
from uad_bench.method import FitReport, Method, MethodInfo, Params, descriptions
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.detectors.params import given_params, validated


class Toy(Method):
    """Has a parameter of each kind."""

    class Params(Params):
        count: int = 1
        scale: float | None = None
        flag: bool = False
        either: int | bool = 3
        several: tuple[int, ...] = Field(default=())

    info = MethodInfo("toy", "Toy")

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image


def on_the_command_line(name: str, text: str) -> object:
    given = given_params(parameters([f"kinds.{name}={text}"]), Kinds)
    return getattr(validated(Kinds, given), name)


class Kinds(Toy):
    """Has texts, and what may be one."""

    class Params(Params):
        word: str = ""
        known: str | None = None
        file: Path | None = None
        choice: Literal["a", "1"] | None = None
        either: int | str = 0
        count: int = 0

    info = MethodInfo("kinds", "Kinds")


@given(st.from_regex(r"[0-9a-fxo.eE+:-]+", fullmatch=True) | st.sampled_from(["yes", "off", "[1]"]))
def test_a_text_on_the_command_line_is_never_read_as_a_number(text):
    for name in ("word", "known"):
        assert on_the_command_line(name, text) == text
    assert on_the_command_line("file", text) == Path(text)


@given(st.integers())
def test_what_is_no_text_is_read_as_in_a_file(number):
    assert on_the_command_line("count", str(number)) == number
    assert on_the_command_line("either", str(number)) == number
    assert on_the_command_line("known", "null") is None
    assert on_the_command_line("word", "null") == "null"
    assert on_the_command_line("word", "'a b'") == "a b"
    assert on_the_command_line("choice", "a") == "a"


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", ["count", "scale"])
def test_a_truth_value_is_no_number(name, value):
    with pytest.raises(
        UadBenchError, match=rf"toy\.{name}: Input should be a number, not"
    ) as caught:
        validated(Toy, {name: value})
    assert "\n" not in str(caught.value)


def test_truth_values_and_numbers_stay_what_they_are_where_they_are_asked_for():
    params = validated(Toy, {"flag": True, "either": True, "count": 2, "scale": 1, "several": (1,)})
    assert params.flag is True
    assert params.either is True
    assert params.count == 2
    assert params.scale == 1.0
    assert Toy.Params.model_validate_json(params.model_dump_json()) == params


@pytest.mark.parametrize("word", ["yes", "on", "no", "off", "true"])
def test_yes_on_the_command_line_is_no_number_of_steps(word, capsys):
    arguments = ["run", "--methods", "spa", "--datasets", "mslub", "--dry-run"]
    assert main([*arguments, "--param", f"spa.steps={word}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --param spa.steps: Input should be a")


def test_every_parameter_of_every_built_in_method_says_what_it_means():
    found = {}
    registry = open_registry(())
    for entry in registry.entries("method"):
        if entry.source == "built-in":
            words = descriptions(registry.method(entry.name).Params)
            found |= {f"{entry.name}.{name}": text for name, text in words.items()}
    assert len(found) > 100
    assert not [name for name, text in found.items() if len(text.split()) < 3]


def test_a_field_that_is_declared_anew_keeps_its_description():
    class First(Params):
        steps: int = 1
        """Steps of the loop."""
        width: int = Field(default=1, description="filters")

    class Second(First):
        steps: int = 2
        width: int = 2
        """Filters of the first block."""

    assert descriptions(First) == {"steps": "Steps of the loop.", "width": "filters"}
    assert descriptions(Second) == {
        "steps": "Steps of the loop.",
        "width": "Filters of the first block.",
    }
