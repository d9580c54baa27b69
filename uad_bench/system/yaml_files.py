"""Reading YAML that people write: one loader for every file, strict where YAML is treacherous.

YAML 1.1, which PyYAML reads, takes ``010`` for 8, ``1e-3`` for text, ``1:30`` for 90,
``2026-11-26`` for a date and ``~`` for nothing, and lets the last of two equal keys win. Here
numbers are as in YAML 1.2 (``010`` is 10, as on the command line), ``~`` is text, because people
mean their home folder by it, and a key that is given twice is refused. ``yes``, ``no``, ``on`` and
``off`` stay switches.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from uad_bench.errors import UadBenchError

_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_UNFIT = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What PyYAML raises beside its own errors where a value does not fit its tag."""
_TAG = "tag:yaml.org,2002:"
_SHOWN = 40
"""Characters of a wrong value that a message repeats."""


class Written(str):
    """A value as somebody wrote it: YAML, whose meaning depends on what is asked for.

    ``0017`` is a number of steps, or a text of four characters.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:
        """What it is as YAML; itself where it is none."""
        try:
            return parse_yaml(self)
        except yaml.YAMLError:
            return str(self)

    @property
    def text(self) -> str:
        """What it is where a text is asked for: without YAML's quotes, but never a number."""
        value = self.value
        return value if isinstance(value, str) else str(self)


class GivenTwiceError(yaml.YAMLError):
    """A mapping has the same key twice."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers of YAML 1.2 that refuses a key given twice."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; one that does not fit its tag is told with its line."""
        try:
            return super().construct_object(node, deep)
        except _UNFIT:
            kind = node.tag.removeprefix(_TAG)
            text = f"{str(node.value)[:_SHOWN]!r} does not fit !!{kind}"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; ``<<`` brings keys that the mapping's own ones may replace."""
        if not isinstance(node, yaml.MappingNode):  # PyYAML says what it is
            return super().construct_mapping(node, deep)
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_TAG}merge":
                continue
            key = self.construct_object(key_node)
            line = key_node.start_mark.line + 1
            if key in lines:
                raise GivenTwiceError(f"{key} is given twice, in lines {lines[key]} and {line}")
            lines[key] = line
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return ``010`` as 10."""
        text = str(node.value)
        return int(text, 0) if "x" in text or "o" in text else int(text)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's own resolvers by first character, but for those of numbers, dates and ``~``."""
    left_out = {f"{_TAG}{name}" for name in ("int", "float", "timestamp")}
    return {
        first: [(tag, regexp) for tag, regexp in found if tag not in left_out]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        if first != "~"
    }


_Loader.yaml_implicit_resolvers = _resolvers()
_Loader.add_implicit_resolver(
    f"{_TAG}int", re.compile(rf"^(?:{_INT.pattern})$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    f"{_TAG}float", re.compile(rf"^(?:{_FLOAT.pattern})$"), list("-+.0123456789")
)
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)


def parse_yaml(text: str) -> Any:
    """Return what YAML text says.

    Raises:
        yaml.YAMLError: no YAML, a value that does not fit its tag, or a key that is given twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except _UNFIT as error:
        raise yaml.YAMLError(f"a value does not fit its tag: {error}") from None


def read_yaml(file: Path, flag: str, example: str) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        file: the file, UTF-8.
        flag: the option that named it, for messages.
        example: what such a file holds, for messages.

    Raises:
        UadBenchError: the file cannot be read, is no YAML, holds a key twice, or no mapping.
    """
    try:
        values = parse_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UadBenchError(f"{flag} {file}: {error.strerror or error}") from None
    except GivenTwiceError as error:
        raise UadBenchError(f"{flag} {file}: {error}; keep one") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UadBenchError(f"{flag} {file}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise UadBenchError(f"{flag} {file}: must hold `key: value` lines{example}")
    return {str(key): value for key, value in values.items()}
