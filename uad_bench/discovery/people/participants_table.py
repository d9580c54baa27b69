"""The form of ``participants.tsv``: its encoding, its separator, its lines and its people."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from uad_bench.discovery.people.health_words import HEALTH_COLUMNS, column_name, simplified
from uad_bench.discovery.walk import check_regular
from uad_bench.errors import UadBenchError

SPLIT_COLUMNS = ("split", "splits", "data_split", "set", "subset", "partition")
"""Columns that name a person's split, in the order in which they are looked for."""

_ID_COLUMNS = ("participant_id", "participant", "subject_id", "subject")
_SEPARATORS = ("\t", ";", ",")

SHOWN = 5
"""How many names a message lists before it counts the others."""

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte-order marks, the longer before the shorter that they begin with."""

_SAVE_AS = "save it as UTF-8 text, columns separated by tabs"

Row = Mapping[str, str]
"""A person's cells by the column's simplified name."""


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a table, by a person's id and a column's simplified name."""

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, Row]
    notes: tuple[str, ...]


def first_of(names: Iterable[str]) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def find_table(root: Path) -> Path | None:
    """The table, in any letter case.

    Raises:
        UadBenchError: two of them, or one in another format only.
    """
    files = sorted(root.iterdir()) if root.is_dir() else []
    named = [path for path in files if path.name.lower().startswith("participants.")]
    tables = [path for path in named if path.suffix.lower() == ".tsv"]
    if len(tables) > 1:
        raise UadBenchError(f"{root}: {tables[0].name} and {tables[1].name}: keep one of them")
    others = [path for path in named if path.suffix.lower() not in (".tsv", ".json")]
    if not tables and others:
        raise UadBenchError(f"{others[0]}: not read; {_SAVE_AS}, with the name participants.tsv")
    return tables[0] if tables else None


def read_table(path: Path) -> Table:
    """Read the cells of a table, by person and column.

    Raises:
        UadBenchError: in one line, why the file is no table of people.
    """
    text, notes = _decoded(path)
    try:
        separator, header, start = _header(path, text)
        _refuse_twins(path, header)
        key = next(name for name in _ID_COLUMNS if name in header)
        rows: dict[str, Row] = {}
        twice = []
        for line, cells in _lines(path, text, separator, start):
            row = _row(path, line, header, cells)
            subject = _subject(path, line, row.pop(key))
            if rows.setdefault(subject, row) != row:
                twice.append(subject)
    except csv.Error as error:
        raise UadBenchError(f"{path}: not a table ({error}); {_SAVE_AS}") from None
    if twice:
        raise UadBenchError(
            f"{path}: several different lines for {first_of(dict.fromkeys(twice))}; keep one line "
            "for each person"
        )
    return Table(path, tuple(header), rows, notes)


def read_levels(path: Path) -> Mapping[str, Mapping[str, str]]:
    """What ``participants.json`` beside a table says of its values, by column and value.

    Args:
        path: the table.

    Raises:
        UadBenchError: it cannot be read.
    """
    sidecar = path.with_suffix(".json")
    try:
        check_regular(sidecar)
        content = json.loads(sidecar.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UadBenchError(f"{sidecar}: cannot be read ({error}); correct or remove it") from None
    levels: dict[str, dict[str, str]] = {}
    for column, stated in content.items() if isinstance(content, dict) else ():
        named = stated.get("Levels") if isinstance(stated, dict) else None
        for value, text in named.items() if isinstance(named, dict) else ():
            words = text.get("Description") if isinstance(text, dict) else text
            if isinstance(words, str):
                levels.setdefault(column_name(column), {})[value.strip()] = words
    return levels


def _decoded(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a note where its encoding had to be assumed."""
    try:
        check_regular(path)
        content = path.read_bytes()
    except OSError as error:
        raise UadBenchError(f"{path}: cannot be read ({error.strerror})") from None
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    notes: tuple[str, ...] = ()
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        fault = error
        if encoding != "utf-8":
            raise UadBenchError(f"{path}: broken {encoding} text; {_SAVE_AS}") from None
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            raise UadBenchError(
                f"{path}: neither UTF-8 nor Windows-1252 (byte {fault.object[fault.start]:#04x} at "
                f"{fault.start}); {_SAVE_AS}"
            ) from None
        notes = ("not UTF-8; read as Windows-1252 (Latin-1)",)
    if "\0" in text:
        raise UadBenchError(f"{path}: holds zero bytes, as UTF-16 or a spreadsheet; {_SAVE_AS}")
    return text, notes


def _header(path: Path, text: str) -> tuple[str, list[str], int]:
    """The separator, the simplified names of the columns, and the number of their line."""
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if not line.strip():
            continue
        for separator in _SEPARATORS:
            names = next(csv.reader([line.lstrip("\ufeff")], delimiter=separator, strict=True))
            header = [column_name(name) for name in names]
            if any(name in _ID_COLUMNS for name in header):
                return separator, header, number
        break
    raise UadBenchError(
        f"{path}: no column participant_id; the first line must name the columns, separated by "
        "tabs, commas or semicolons"
    )


def _refuse_twins(path: Path, header: list[str]) -> None:
    """Refuse two columns of one name, where it matters."""
    known = {*_ID_COLUMNS, *SPLIT_COLUMNS, *HEALTH_COLUMNS}
    twice = [name for name, count in Counter(header).items() if count > 1 and name in known]
    if twice:
        raise UadBenchError(f"{path}: two columns are named {twice[0]!r}; rename or remove one")


def _lines(path: Path, text: str, separator: str, start: int) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of every line below the header that is not blank.

    Raises:
        UadBenchError: a cell that spans lines, as a quote that is closed too late makes.
    """
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    first = 1
    for cells in lines:
        if first > start and any("\n" in cell or "\r" in cell for cell in cells):
            raise UadBenchError(
                f"{path}: line {first}: a cell in quotes spans several lines; remove the quotes or "
                "write one line for each person"
            )
        if first > start and any(cell.strip() for cell in cells):
            yield first, [cell.strip() for cell in cells]
        first = lines.line_num + 1


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> dict[str, str]:
    if any(cells[len(header) :]):
        raise UadBenchError(
            f"{path}: line {line} has {len(cells)} cells for {len(header)} columns; correct it"
        )
    padded = [*cells, *[""] * (len(header) - len(cells))]
    return {name: cell for name, cell in zip(header, padded, strict=False) if name}


def _subject(path: Path, line: int, cell: str) -> str:
    """A person's id with ``sub-``."""
    label = re.sub(r"(?i)^sub-\s*", "", cell)
    if not simplified(label) or re.search(r"[\s,;]", label):
        raise UadBenchError(
            f"{path}: line {line}: {cell!r} is no participant_id; write one such as sub-01"
        )
    return f"sub-{label}"
