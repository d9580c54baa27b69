"""Numbers and tables as the page writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from effects import Estimate, Verdict, verdict

NOT_RUN = "not run"


def number(found: Estimate | None, *, digits: int = 2, interval: bool = True) -> str:
    """Write a mean with its interval, as in ``0.71 [0.60, 0.80]``."""
    if found is None:
        return NOT_RUN
    return _written(found, f".{digits}f", interval)


def change(found: Estimate | None, *, digits: int = 2) -> str:
    """Write a difference, as in ``+0.05 [-0.02, +0.10]``, bold if it has a clear sign."""
    if found is None:
        return NOT_RUN
    text = _written(found, f"+.{digits}f", True)
    return f"**{text}**" if verdict(found) in (Verdict.YES, Verdict.NO) else text


def _written(found: Estimate, style: str, interval: bool) -> str:
    mean = f"{found.mean:{style}}"
    if not interval or found.low is None or found.high is None:
        return mean
    return f"{mean} [{found.low:{style}}, {found.high:{style}}]"


def percent(found: Estimate | None) -> str:
    """Write a share in per cent."""
    if found is None:
        return NOT_RUN
    ends = (
        ""
        if found.low is None or found.high is None
        else (f" [{100 * found.low:.1f}, {100 * found.high:.1f}]")
    )
    return f"{100 * found.mean:.1f}{ends} %"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; its first column is text, the others are numbers."""
    body = list(rows)
    if not body:
        return f"_{head[0]}_: {NOT_RUN}."
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def listed(items: Sequence[str]) -> str:
    """Write ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def several(found: Iterable[Any]) -> str:
    """Write different values in ascending order."""
    return listed([f"{one:,}" if isinstance(one, int) else str(one) for one in sorted(found)])


def escaped(block: str) -> str:
    """Make single stars, as in ``SPA*``, show as they are.

    The page's emphasis is ``_`` or ``**``.
    """
    return re.sub(r"(?<![*\\])\*(?!\*)", r"\\*", block)
