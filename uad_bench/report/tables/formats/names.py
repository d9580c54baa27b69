"""The formats of tables and listings, and which of them a file's ending means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from uad_bench.errors import UadBenchError
from uad_bench.system.disk import is_stream

Format = Literal["terminal", "latex", "markdown", "html", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ENDINGS: Mapping[str, Format] = {
    ".tex": "latex",
    ".md": "markdown",
    ".html": "html",
    ".csv": "csv",
    ".txt": "terminal",
}


def format_of(asked: str | None, file: Path | None) -> Format:
    """Return the format that is asked for, or else the one that the file's ending means.

    Args:
        asked: its name.
        file: where it is written; the terminal if not given.

    Raises:
        UadBenchError: there is no format of that name, or the ending means none.
    """
    if asked is not None:
        found = next((one for one in FORMATS if one == asked), None)
        if found is None:
            raise UadBenchError(f"--format {asked}: unknown; available: {', '.join(FORMATS)}")
        return found
    if file is None or (file.exists() and is_stream(file)):
        return "terminal"
    if file.suffix.lower() not in _ENDINGS:
        raise UadBenchError(
            f"{file}: its ending means no format; write {', '.join(_ENDINGS)}, or say --format"
        )
    return _ENDINGS[file.suffix.lower()]
