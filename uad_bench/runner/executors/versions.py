"""Versions that two processes must share, so that they understand each other and agree."""

from __future__ import annotations

from collections.abc import Mapping

VERSIONED = ("uad-bench", "torch", "numpy", "dask", "distributed")
"""The packages whose versions are compared, beside Python."""


def version_fault(here: Mapping[str, str | None], there: Mapping[str, str | None]) -> str | None:
    """Return which versions of another process differ from those of this one, and what to do.

    Args:
        here: of this process, by package, as Dask tells them.
        there: of the other.

    Returns:
        What follows the name of the other; ``None`` where nothing differs.
    """
    others = [
        (name, _release(there.get(name), name), _release(here.get(name), name))
        for name in ("python", *VERSIONED)
    ]
    differ = [(name, other, own) for name, other, own in others if other != own]
    if not differ:
        return None
    theirs = ", ".join(f"{name} {other or 'not at all'}" for name, other, _ in differ)
    ours = ", ".join(f"{name} {own or 'not at all'}" for name, _, own in differ)
    return f"has {theirs}, and this process has {ours}: install the same versions on both"


def _release(version: str | None, name: str) -> str | None:
    """What of a version matters: of Python the first two numbers, else all but the build."""
    if version is None:
        return None
    return ".".join(version.split(".")[:2]) if name == "python" else version.partition("+")[0]
