"""CSV that spreadsheets open: no text in it is taken for a formula."""

from __future__ import annotations

from typing import TypeVar

_Value = TypeVar("_Value")

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")
"""With one of these a spreadsheet takes a text for a formula, which may call a program."""


def inert(value: _Value) -> _Value | str:
    """Return a cell of a CSV file: a text that would be a formula has an apostrophe before it.

    Sites, methods and reasons come from files and from other people's plugins. Numbers stay.

    Examples:
        >>> inert("=1+1"), inert("Oslo"), inert(-0.5)
        ("'=1+1", 'Oslo', -0.5)
    """
    if isinstance(value, str) and value.startswith(_BEGINNINGS):
        return f"'{value}"
    return value
