"""What ``participants.tsv`` says of people that results are grouped by: site, scanner, age, sex."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from uad_bench.discovery.people.health_words import simplified
from uad_bench.discovery.people.participants_table import Row, find_table, read_levels, read_table

SITE_COLUMNS = ("site", "centre", "center", "hospital", "institution")
SCANNER_COLUMNS = ("scanner", "scanner_model", "manufacturers_model_name", "manufacturer")
AGE_COLUMNS = ("age", "age_years", "age_at_scan", "age_at_mri", "age_at_visit", "age_at_baseline")
SEX_COLUMNS = ("sex", "gender")

AGE_BANDS = ((40, "below 40"), (60, "40 to 59"), (80, "60 to 79"), (131, "80 and more"))
"""Years below which a person is in a band, and what it is called. An age above 130 is none."""

_SEXES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("f", "female", "woman"), "female"),
        **dict.fromkeys(("m", "male", "man"), "male"),
    }
)
_YEARS = re.compile(r"(\d+(?:[.,]\d+)?)\s*\+?\s*(?:y|yrs?|years?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PersonTraits:
    """What a person can be grouped by; ``None`` where it is not stated, or in unknown words.

    Attributes:
        site: the centre.
        scanner: the scanner.
        age: a band of age. The age itself is not kept.
        sex: ``female`` or ``male``.
    """

    site: str | None = None
    scanner: str | None = None
    age: str | None = None
    sex: str | None = None


def read_traits(root: Path) -> Mapping[str, PersonTraits]:
    """Read what a dataset's ``participants.tsv`` says, by subject; nothing where it has none.

    Args:
        root: the dataset's own folder.

    Raises:
        UadBenchError: in one line, why the table cannot be read.
    """
    path = find_table(root)
    if path is None:
        return {}
    table = read_table(path)
    levels = read_levels(path)

    def cell(row: Row, columns: Sequence[str]) -> str | None:
        column = next((name for name in columns if name in row), None)
        if column is None or not simplified(row[column]):
            return None
        return levels.get(column, {}).get(row[column], row[column])

    return {
        subject: PersonTraits(
            site=cell(row, SITE_COLUMNS),
            scanner=cell(row, SCANNER_COLUMNS),
            age=age_band(cell(row, AGE_COLUMNS) or ""),
            sex=_SEXES.get(simplified(cell(row, SEX_COLUMNS) or "")),
        )
        for subject, row in table.rows.items()
    }


def age_band(text: str) -> str | None:
    """The band of an age in years, such as ``34``, ``34.5`` or ``89+``; ``None`` for other words.

    Examples:
        >>> age_band("59.9"), age_band("89+"), age_band("adult")
        ('40 to 59', '80 and more', None)
    """
    found = _YEARS.fullmatch(text.strip())
    if found is None:
        return None
    years = float(found[1].replace(",", "."))
    return next((name for below, name in AGE_BANDS if years < below), None)
