"""What tables call a dataset of a user's own: its description's name, or its folder's."""

from __future__ import annotations

import json
from pathlib import Path

_LONGEST = 60
"""Characters of a title; more make a table too wide."""


def own_title(folder: Path) -> str:
    """Return the ``Name`` of a folder's ``dataset_description.json``, or else the folder's name.

    Args:
        folder: the dataset's own folder.
    """
    name = " ".join(_described(folder).split())
    name = name.removesuffix("(simulated)").rstrip()  # which tables say themselves
    if not name or name.upper().startswith(("TODO", "REQUIRED")):  # as converters leave it
        name = folder.resolve().name
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip()}…"


def _described(folder: Path) -> str:
    """The description's ``Name``; empty where there is none, or no readable one."""
    try:
        text = (folder / "dataset_description.json").read_text(encoding="utf-8-sig")
        description = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return ""
    name = description.get("Name") if isinstance(description, dict) else None
    return name if isinstance(name, str) else ""
