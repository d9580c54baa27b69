"""What one MLflow run is to hold: a command, a detector, a tuning trial or a cell."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["command", "detector", "trial", "cell"]

Point = tuple[str, float, int]
"""Name, value and step of a metric."""

# A tag longer than this is refused or cut by the oldest database schemas of MLflow.
_TAG_LENGTH = 5000
_NOT_IN_A_KEY = re.compile(r"[^\w\-. :/]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One MLflow run, made from a results folder alone, so that it can be made again.

    Attributes:
        kind: what it is of.
        key: what it is of, by name; unique among its kind in one results folder.
        name: its title.
        start: when that began, in milliseconds since 1970.
        end: when it ended.
        failed: whether it did.
        parent: the command that it is nested under.
        params: its parameters.
        metrics: its numbers.
        tags: what it is found by.
        datasets: data sets as name, manifest hash and what each was used for.
        files: what is attached.
        texts: what is attached, by file name.
        source: SHA-256 of the file that it was made from; by default, of its own content.
    """

    kind: Kind
    key: str
    name: str
    start: int
    end: int
    failed: bool = False
    parent: Entry | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Point, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[tuple[str, str, str], ...] = ()
    files: tuple[Path, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    @property
    def sha256(self) -> str:
        """What changes when it has to be sent again."""
        if self.source:
            return self.source
        content = [self.failed, dict(self.params), self.metrics, dict(self.tags), dict(self.texts)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow takes them; nested ones get dotted names."""
    return {_key(name): text for key, value in values.items() for name, text in _flat(key, value)}


def as_metrics(points: Iterable[tuple[str, float | None, int]]) -> tuple[Point, ...]:
    """Numbers as MLflow takes them; undefined and infinite ones are left out."""
    return tuple(
        (_key(name), float(value), step)
        for name, value, step in points
        if value is not None and math.isfinite(value)
    )


def as_tags(values: Mapping[str, str | bool]) -> dict[str, str]:
    """Tags as MLflow takes them; empty ones are left out."""
    words = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in values.items()
    }
    return {name: word[:_TAG_LENGTH] for name, word in words.items() if word}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Nested mappings as dotted names; lists and the like as JSON."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _key(name: str) -> str:
    """A name with only the characters that MLflow takes."""
    return _NOT_IN_A_KEY.sub("_", name)
