"""Optional packages: which ones are absent, and the command that installs them here."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

PROGRAM = "uad-bench"

Extra = Literal["prepare", "distributed"]
"""What ``pip install 'uad-bench[EXTRA]'`` adds: ``prepare`` has the tools for raw scans,
``distributed`` those for several processes and machines."""


def is_installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def install_command(extra: Extra) -> str:
    """Return the ``pip`` command that adds an extra, from where this program was installed.

    A checkout, a wheel and a repository are named again; anything else comes from the index.
    PEP 610 defines the file that says which it was.
    """
    try:
        found = distribution(PROGRAM)
    except PackageNotFoundError:
        return _from_index(extra)
    origin = _origin(found)
    address = str(origin.get("url", ""))
    if "vcs_info" in origin:
        info = origin["vcs_info"]
        return f"pip install '{PROGRAM}[{extra}] @ {info['vcs']}+{address}@{info['commit_id']}'"
    if not address.startswith("file:"):
        return f"pip install '{PROGRAM}[{extra}] @ {address}'" if address else _from_index(extra)
    path = Path(url2pathname(unquote(urlsplit(address).path)))
    if not path.exists():
        return _from_index(extra)
    if path.is_file():
        return f"pip install '{path}[{extra}]'"
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    pins = path / "constraints.txt"
    pinned = f" -c '{pins}'" if pins.is_file() else ""
    return f"pip install {editable}'{path}[{extra}]'{pinned}"


def _origin(found: Distribution) -> dict[str, Any]:
    """What pip wrote down of where the program came from; nothing for an index."""
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return origin if isinstance(origin, dict) else {}


def _from_index(extra: Extra) -> str:
    return f"pip install '{PROGRAM}[{extra}]'"
