"""Texts without the paths of this machine, which name its users and its folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_END = r"\s'\",:;()\[\]{}<>|"
_PATH = re.compile(rf"(?<![\w/.~-])~?/(?!/)(?:[^{_END}]| (?=[^{_END}/]+/))+")
"""A path from a root or a home, as far as it can be told inside of a text; no part of a URL.

A space is part of it where a folder's name goes on behind it."""

_FILE = re.compile(r"(?!\w+://)[^\n]*/[^/\n]*\.[A-Za-z]\w*")
"""The path of a file, and no URL."""


def without_paths(value: Any) -> Any:
    """Return JSON values in which only the last part is left of every absolute path.

    Args:
        value: a text, a number, or lists and dictionaries of them.
    """
    return _of_texts(value, _without_path)


def _without_path(text: str) -> str:
    if has_root(text):
        return Path(text).name
    home = str(Path.home()).rstrip("/")
    short = text.replace(f"{home}/", "~/") if home else text
    return _PATH.sub(lambda found: Path(found[0].removeprefix("~")).name, short)


def without_folders(value: Any) -> Any:
    """Return the values of parameters in which only the last part is left of every file's path.

    Relative paths are known by a folder and an ending, such as ``nets/weights.pth``.

    Args:
        value: a text, a number, or lists and dictionaries of them.
    """
    return _of_texts(value, lambda text: Path(text).name if _FILE.fullmatch(text) else text)


def _of_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON values with every text in them changed, keys aside."""
    if isinstance(value, dict):
        return {key: _of_texts(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_of_texts(one, change) for one in value]
    return change(value) if isinstance(value, str) else value


def has_root(text: str) -> bool:
    """Whether a whole text is one path from a root or a home."""
    return re.match(r"~?/(?!/)", text) is not None and "\n" not in text
