"""A dataset's own list of people, ``participants.tsv``: who is in which split, who is healthy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from uad_bench.dataset import Split
from uad_bench.discovery.people.health_words import (
    HEALTH_COLUMNS,
    read_column,
    says_healthy,
    simplified,
    speaks_of_health,
)
from uad_bench.discovery.people.participants_table import (
    SHOWN,
    SPLIT_COLUMNS,
    Table,
    find_table,
    first_of,
    read_levels,
    read_table,
)
from uad_bench.errors import UadBenchError

__all__ = ("Participants", "first_of", "read_participants")

_SPLIT_OF: Mapping[str, Split] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation"),
        **dict.fromkeys(("test", "testing"), "test"),
    }
)


@dataclass(frozen=True, slots=True)
class Participants:
    """What ``participants.tsv`` says.

    Attributes:
        path: the table.
        subjects: the people in it, as ``sub-01``, in its order.
        splits: the split of each; ``None`` where the table has no column of splits. A person whose
            cell is empty is not in it.
        healthy: ``True`` for people who are said to be healthy, ``False`` for those who are said
            to be patients; nobody else is in it.
        unclear: the column and the cell of people whose health no column tells, although a cell
            is filled in.
        columns: the columns that said who is healthy, in lower case.
        notes: what a user should know of the table, one line each.
    """

    path: Path
    subjects: tuple[str, ...]
    splits: Mapping[str, Split] | None
    healthy: Mapping[str, bool]
    unclear: Mapping[str, tuple[str, str]]
    columns: tuple[str, ...]
    notes: tuple[str, ...]

    def splits_of(self, subjects: Iterable[str]) -> dict[str, Split] | None:
        """The split of each of these subjects; ``None`` where the table has no such column.

        Raises:
            UadBenchError: naming the subjects without a split; ids that fit no subject.
        """
        subjects = tuple(subjects)
        self._refuse_strangers(subjects)
        if self.splits is None:
            return None
        lacking = [subject for subject in subjects if subject not in self.splits]
        if lacking:
            raise UadBenchError(
                f"{self.path}: no split for {first_of(lacking)}: write train, validation or test "
                "into the column 'split', for every subject or for none"
            )
        return {subject: self.splits[subject] for subject in subjects}

    def _refuse_strangers(self, subjects: tuple[str, ...]) -> None:
        """Refuse a table of splits or health whose ids are written otherwise than the files'."""
        if self.splits is None and not self.healthy and not self.unclear:
            return
        listed = set(self.subjects)
        unlisted: dict[str, list[str]] = {}
        for subject in subjects:
            if subject not in listed:
                unlisted.setdefault(_alike(subject), []).append(subject)
        without = [name for name in self.subjects if name not in subjects]
        pairs = [
            f"{name} (files: {unlisted[_alike(name)][0]})"
            for name in without
            if len(unlisted.get(_alike(name), ())) == 1
        ]
        if pairs:
            raise UadBenchError(
                f"{self.path}: ids are written otherwise than the files' names: {first_of(pairs)}; "
                "write them as the files do"
            )
        if subjects and self.subjects and len(without) == len(self.subjects):
            raise UadBenchError(
                f"{self.path}: no id fits a subject: {first_of(self.subjects)} in the table, "
                f"{first_of(subjects)} with scans; write the ids as the files do"
            )

    def refuse_unclear(self, subjects: Iterable[str]) -> None:
        """Refuse people who are learned from and whose health is written in unknown words.

        Args:
            subjects: the people of train and validation.

        Raises:
            UadBenchError: naming the column, the value and the subjects.
        """
        groups: dict[tuple[str, str], list[str]] = {}
        for subject in dict.fromkeys(subjects):
            if subject in self.unclear:
                groups.setdefault(self.unclear[subject], []).append(subject)
        if groups:
            said = "; ".join(
                f"{value!r} in the column {column!r} of {first_of(names)}"
                for (column, value), names in list(groups.items())[:SHOWN]
            )
            raise UadBenchError(
                f"{self.path}: healthy or not? {said}: detectors learn from healthy people; write "
                "yes or no into a column 'healthy', or rename the column if it says something else"
            )

    def refuse_unsaid(self, subjects: Iterable[str]) -> None:
        """Refuse people to learn from whom a table that tells health does not call healthy.

        Args:
            subjects: the people of train and validation whom nobody else calls healthy.

        Raises:
            UadBenchError: naming the columns and the subjects.
        """
        unsaid = [name for name in dict.fromkeys(subjects) if name not in self.healthy]
        if self.columns and unsaid:
            raise UadBenchError(
                f"{self.path}: nobody says that {first_of(unsaid)} "
                f"{'is' if len(unsaid) == 1 else 'are'} healthy, although the table tells it of "
                f"others: detectors learn from healthy people; say it in the column "
                f"{self.columns[0]!r}, or leave them out"
            )

    def unlisted(self, subjects: Iterable[str]) -> tuple[str, ...]:
        """People with files of whom a table of splits or health says nothing.

        Args:
            subjects: the people with files.
        """
        if self.splits is None and not self.healthy and not self.unclear:
            return ()
        return tuple(name for name in dict.fromkeys(subjects) if name not in self.subjects)

    def mismatches(self, subjects: Iterable[str]) -> tuple[str, ...]:
        """People in the table without files, and people with files who are not in the table.

        Args:
            subjects: the people with files.
        """
        files = dict.fromkeys(subjects)
        without = [subject for subject in self.subjects if subject not in files]
        unlisted = [subject for subject in files if subject not in self.subjects]
        lines = []
        if without:
            lines.append(f"in the table, but without a scan: {first_of(without)}")
        if unlisted:
            lines.append(f"with a scan, but not in the table: {first_of(unlisted)}")
        return tuple(lines)


def read_participants(root: Path) -> Participants | None:
    """Read a dataset's ``participants.tsv``; ``None`` where it has none.

    Columns may be separated by tabs, commas or semicolons, as the first line tells. The text is
    UTF-8, UTF-16 or UTF-32 with a byte-order mark, or else Windows-1252, which Latin-1 is part of.
    Letter case and blanks around names and values do not matter, nor does ``sub-`` before an id.

    Args:
        root: the dataset's own folder.

    Raises:
        UadBenchError: in one line, what of the table cannot be read or understood.
    """
    path = find_table(root)
    if path is None:
        return None
    table = read_table(path)
    healthy, unclear, columns, notes = _health(table)
    return Participants(
        path=path,
        subjects=tuple(table.rows),
        splits=_splits(table),
        healthy=healthy,
        unclear=unclear,
        columns=columns,
        notes=(*table.notes, *notes),
    )


def _alike(subject: str) -> str:
    """An id without letter case and leading zeros."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", subject.lower())


def _splits(table: Table) -> Mapping[str, Split] | None:
    """The split that each person's line names.

    Raises:
        UadBenchError: a value that is no split, two columns that contradict each other, or a column
            of splits under another name.
    """
    found = [name for name in SPLIT_COLUMNS if name in table.columns]
    if not found:
        _refuse_hidden_splits(table)
        return None
    first, *others = found
    splits: dict[str, Split] = {}
    for subject, row in table.rows.items():
        value = simplified(row[first])
        if not value:
            continue
        if value not in _SPLIT_OF:
            raise UadBenchError(
                f"{table.path}: {subject} has {row[first]!r} in the column {first!r}: write train, "
                "validation or test, or rename the column if it is no split"
            )
        splits[subject] = _SPLIT_OF[value]
        for other in others:
            if _SPLIT_OF.get(simplified(row[other]), splits[subject]) != splits[subject]:
                raise UadBenchError(
                    f"{table.path}: {subject} is {row[first]!r} in the column {first!r} and "
                    f"{row[other]!r} in {other!r}; correct one of them"
                )
    return splits


def _refuse_hidden_splits(table: Table) -> None:
    """Refuse a column that holds only words for splits, two or more, under an unknown name."""
    for column in table.columns:
        values = {simplified(row.get(column, "")) for row in table.rows.values()} - {""}
        if len(values) > 1 and values <= _SPLIT_OF.keys():
            raise UadBenchError(
                f"{table.path}: column {column!r} looks like a split ({first_of(sorted(values))}); "
                "name it 'split', or remove it if it is none"
            )


def _in_words(table: Table, column: str, levels: Mapping[str, str]) -> dict[str, str]:
    """Each person's cell, or what ``participants.json`` says of it, where that is understood."""
    cells = {name: row[column] for name, row in table.rows.items()}
    return {
        name: levels[cell]
        if cell in levels and says_healthy("group", levels[cell]) is not None
        else cell
        for name, cell in cells.items()
    }


def _health(
    table: Table,
) -> tuple[Mapping[str, bool], Mapping[str, tuple[str, str]], tuple[str, ...], tuple[str, ...]]:
    """Who is healthy or a patient, whose cell is unclear, by which columns, and notes.

    Raises:
        UadBenchError: two columns that contradict each other.
    """
    found: dict[str, tuple[bool, str]] = {}
    unclear: dict[str, tuple[str, str]] = {}
    columns, notes = [], []
    levels = read_levels(table.path)
    for column in (name for name in HEALTH_COLUMNS if name in table.columns):
        read = read_column(column, _in_words(table, column, levels.get(column, {})))
        for subject, healthy in read.said.items():
            known, other = found.setdefault(subject, (healthy, column))
            if known is not healthy:
                raise UadBenchError(
                    f"{table.path}: {subject} is {table.rows[subject][other]!r} in the column "
                    f"{other!r} and {table.rows[subject][column]!r} in {column!r}: healthy or "
                    "not? Correct one"
                )
        columns += [column] if read.said else []
        unclear |= {name: (column, cell) for name, cell in read.unclear.items()}
        if read.unknown:
            values = first_of(map(repr, read.unknown))
            notes.append(f"column {column!r}: {values}: {read.problem}")
    for column in table.columns:
        if column not in (*HEALTH_COLUMNS, *SPLIT_COLUMNS) and speaks_of_health(
            row.get(column, "") for row in table.rows.values()
        ):
            notes.append(
                f"column {column!r} seems to say who is healthy, but its name is not known, so it "
                "was not used: name it 'group' or 'diagnosis', if it says that"
            )
    return (
        {subject: healthy for subject, (healthy, _) in found.items()},
        {subject: cell for subject, cell in unclear.items() if subject not in found},
        tuple(columns),
        tuple(notes),
    )
