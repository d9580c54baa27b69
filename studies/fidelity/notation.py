"""Numbers as the page writes them, and the environment that its templates are filled in with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .effects import Estimate, Verdict, verdict

NOT_RUN = "not run"


def number(found: Estimate | None, digits: int = 2) -> str:
    """Write a mean with its interval, as in ``0.71 [0.60, 0.80]``."""
    return _written(found, f".{digits}f")


def bare(found: Estimate | None) -> str:
    """Write a mean without its interval."""
    return NOT_RUN if found is None else f"{found.mean:.2f}"


def change(found: Estimate | None, digits: int = 2) -> str:
    """Write a difference, as in ``+0.05 [-0.02, +0.10]``, bold if it has a clear sign."""
    text = _written(found, f"+.{digits}f")
    return f"**{text}**" if verdict(found) in (Verdict.YES, Verdict.NO) else text


def percent(found: Estimate | None) -> str:
    """Write a share in per cent."""
    text = _written(found, ".1f", 100)
    return text if found is None else f"{text} %"


def _written(found: Estimate | None, style: str, factor: int = 1) -> str:
    if found is None:
        return NOT_RUN
    ends = [f"{factor * one:{style}}" for one in (found.low, found.high) if one is not None]
    return f"{factor * found.mean:{style}}" + (f" [{', '.join(ends)}]" if ends else "")


def listed(items: Sequence[str]) -> str:
    """Write ``a, b and c``; ``none`` where there is nothing."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]])) or "none"


def several(found: Iterable[Any]) -> str:
    """Write different values in ascending order."""
    ordered = sorted(set(found))
    return listed([f"{one:,}" if isinstance(one, int) else str(one) for one in ordered])


def escaped(text: str) -> str:
    """Make single stars, as in ``SPA*``, show as they are.

    The page's emphasis is ``_`` or ``**``.
    """
    return re.sub(r"(?<![*\\])\*(?!\*)", r"\\*", text)


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {one.__name__: one for one in (number, bare, change, percent, listed, several)}
