"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from uad_bench.errors import PluginError
from uad_bench.registry import PLUGINS_VARIABLE, PluginSources, Registry, discover

PluginPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE|DIR",
        help=f"A method or dataset of your own; may be repeated. Also {PLUGINS_VARIABLE}.",
    ),
]
"""The type of a command's ``plugin`` parameter; its default is ``None``."""


def open_registry(plugins: Sequence[Path] | None, *, strict: bool = True) -> Registry:
    """Find all methods and datasets.

    Args:
        plugins: what ``--plugin`` was given.
        strict: refuse a file given by name that cannot be used. Files of a folder, and whatever
            was not asked for by name, are only listed with their reason.

    Raises:
        PluginError: a path does not exist, or a file given by name cannot be used.
    """
    sources = PluginSources.gather(plugins or ())
    registry = discover(sources)
    if strict:
        for entry in registry.entries():
            if entry.state != "ready" and entry.path in sources.paths:
                raise PluginError(entry.reason)
    return registry


def scalar(text: str) -> Any:
    """Read a parameter's value: a YAML scalar, but ``1e-4``, text in YAML 1.1, is a number."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
