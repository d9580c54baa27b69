"""A person's decision that a scan does not take part: a file that travels with the dataset's data.

``exclusions.tsv`` in the dataset's own folder is a table that only grows: every line is a decision,
a later one about the same scan replaces an earlier one, and the file is its own history.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from uad_bench import __version__
from uad_bench.dataset import Scan
from uad_bench.errors import UadBenchError
from uad_bench.system.disk import writing
from uad_bench.system.user import user_name

FILE_NAME = "exclusions.tsv"
COLUMNS = ("date", "scan", "action", "reason", "by", "version")

Action = Literal["exclude", "include"]

_HEADER = "\t".join(COLUMNS)
_NEAREST = 3


def read_exclusions(folder: Path) -> dict[str, str]:
    """Return what is excluded at present: name of a scan or subject -> reason, in order of date.

    Args:
        folder: the dataset's own folder; it need not have the file.

    Raises:
        UadBenchError: when the file cannot be read or a line of it is no decision.
    """
    excluded: dict[str, str] = {}
    for name, action, reason in _decisions(folder / FILE_NAME):
        excluded.pop(name, None)
        if action == "exclude":
            excluded[name] = reason
    return excluded


def exclusion_of(scan: Scan, exclusions: Mapping[str, str]) -> str | None:
    """Return why ``scan`` is excluded, by its own name or its subject's; ``None`` if it is not."""
    return exclusions.get(scan.name, exclusions.get(scan.subject))


def refuse_strangers(folder: Path, exclusions: Iterable[str], scans: Iterable[Scan]) -> None:
    """Refuse a decision about nobody: an id that was written otherwise, or has changed since.

    Args:
        folder: the dataset's own folder.
        exclusions: the names that are excluded.
        scans: every scan of the dataset.

    Raises:
        UadBenchError: naming the first such name, and names that are near it.
    """
    known = sorted({name for scan in scans for name in (scan.name, scan.subject)})
    for name in exclusions:
        if name not in known:
            near = _near(name, known)
            raise UadBenchError(
                f"{folder / FILE_NAME}: no scan or subject is named {name!r}, so nobody is left "
                f"out by that line; near it: {near}; correct or delete the line"
            )


def record_exclusion(folder: Path, name: str, reason: str, known: Iterable[str]) -> None:
    """Write down that a scan does not take part, or why it does not for another reason.

    Args:
        folder: the dataset's own folder.
        name: a scan, or a subject and thereby all of its sessions.
        reason: in a person's words; runs of white space become one space.
        known: the names of the dataset's scans and subjects.

    Raises:
        UadBenchError: for an unknown name, an empty reason, a damaged file, or a folder that
            cannot be written.
    """
    _check_known(folder, name, known)
    if not reason.strip():
        raise UadBenchError(f'{name}: an exclusion needs a reason: --because "..."')
    read_exclusions(folder)
    _append(folder / FILE_NAME, name, "exclude", reason)


def record_inclusion(folder: Path, name: str, reason: str, known: Iterable[str]) -> None:
    """Write down that an excluded scan takes part again.

    Args:
        folder: the dataset's own folder.
        name: as it was excluded.
        reason: in a person's words; may be empty.
        known: the names of the dataset's scans and subjects.

    Raises:
        UadBenchError: for a name that is not excluded, a damaged file, or a folder that cannot
            be written.
    """
    excluded = read_exclusions(folder)
    if name not in excluded:
        _check_known(folder, name, known)
        listed = f"; excluded are {', '.join(excluded)}" if excluded else ""
        raise UadBenchError(f"{name} is not excluded from {folder}{listed}")
    _append(folder / FILE_NAME, name, "include", reason)


def _check_known(folder: Path, name: str, known: Iterable[str]) -> None:
    names = sorted(set(known))
    if name not in names:
        raise UadBenchError(f"{folder}: no scan or subject {name!r}; near it: {_near(name, names)}")


def _near(name: str, known: list[str]) -> str:
    """The known names that are most like a name."""
    return ", ".join(get_close_matches(name, known, n=_NEAREST, cutoff=0.4) or known[:_NEAREST])


def _decisions(path: Path) -> Iterator[tuple[str, Action, str]]:
    """Yield name, action and reason of every line; spreadsheets' line ends and BOM are fine."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise UadBenchError(f"{path}: not UTF-8 text; save it as such") from error
    except OSError as error:
        raise UadBenchError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line == _HEADER:
            continue
        cells = line.split("\t")
        if len(cells) != len(COLUMNS) or not cells[1] or cells[2] not in ("exclude", "include"):
            raise UadBenchError(
                f"{path}: line {number} is damaged; it must hold {', '.join(COLUMNS)} separated by "
                "tabs, with exclude or include as the action: mend or delete it"
            )
        yield cells[1], "exclude" if cells[2] == "exclude" else "include", cells[3]


def _append(path: Path, name: str, action: Action, reason: str) -> None:
    """Add a line in one write, which other processes and a kill see wholly or not at all."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    cells = (date, name, action, " ".join(reason.split()), user_name(), __version__)
    line = "\t".join(cells) + "\n"
    with writing(path, "the decision is not recorded: check the folder's permissions"):
        before = path.read_bytes() if path.exists() else b""
        if not before.strip():
            line = f"{_HEADER}\n{line}"
        elif not before.endswith(b"\n"):
            line = f"\n{line}"  # a person's editor left the last line open
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, line.encode("utf-8", "replace"))
            os.fsync(handle)
        finally:
            os.close(handle)
