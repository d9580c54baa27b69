"""Every example in a docstring runs and shows what it says."""

import doctest
import importlib
import pkgutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import uad_bench


def with_examples() -> list[str]:
    """The modules of the package whose source has an example, found without importing them."""
    named = (module.name for module in pkgutil.walk_packages(uad_bench.__path__, "uad_bench."))
    sources = {name: find_spec(name) for name in named}
    return [
        name
        for name, spec in sources.items()
        if spec is not None and spec.origin and ">>> " in Path(spec.origin).read_text("utf-8")
    ]


@pytest.mark.parametrize("name", with_examples())
def test_examples_run(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("name", [name for name in uad_bench.__all__ if name[0] != "_"])
def test_every_public_name_shows_an_example(name):
    assert ">>> " in (getattr(uad_bench, name).__doc__ or "")


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="module 'uad_bench' has no attribute 'evalute'"):
        uad_bench.evalute  # noqa: B018
