"""Whether any installed package brings plugins: a look at files, before anything reads them all.

``importlib.metadata`` reads the entry points of every installed package. Importing it and asking it
takes a good part of a short command, and the answer is nearly always none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from importlib.machinery import PathFinder
from pathlib import Path

_INFO = (".dist-info", ".egg-info")
"""How the folders end in which packages say what they are."""


def may_be_installed(groups: Collection[str]) -> bool:
    """Whether a package may have entry points of some groups; ``False`` only where none has.

    Packages in archives, and those that come in a way of their own, are not looked at: they may.

    Args:
        groups: the groups, as packages write them.
    """
    finders = {one for one in sys.meta_path if hasattr(one, "find_distributions")}
    return bool(finders - {PathFinder}) or any(
        _may_hold(entry or os.curdir, groups) for entry in sys.path
    )


def _may_hold(folder: str, groups: Collection[str]) -> bool:
    """Whether a folder of ``sys.path`` may hold such a package."""
    if folder.lower().endswith(".egg"):
        return True
    try:
        with os.scandir(folder) as found:
            infos = [one.path for one in found if one.name.lower().endswith(_INFO)]
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(_names_one(Path(info, "entry_points.txt"), groups) for info in infos)


def _names_one(file: Path, groups: Collection[str]) -> bool:
    """Whether a list of entry points has one of the groups."""
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return any(group.encode() in text for group in groups)
