"""What a cell of ``participants.tsv`` says about a person's health."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_YES = frozenset({"yes", "y", "true", "t", "1", "1.0"})
_NO = frozenset({"no", "n", "false", "f", "0", "0.0"})

_HEALTHY_COLUMNS = ("healthy", "is_healthy", "control", "is_control", "healthy_control")
_PATIENT_COLUMNS = ("patient", "is_patient")
_DISEASE_COLUMNS = (
    *("diagnosis", "dx", "dx_group", "diagnostic_group", "clinical_diagnosis"),
    *("primary_diagnosis", "pathology", "disease", "disease_status"),
)
_GROUP_COLUMNS = (
    *("group", "participant_group", "subject_group", "study_group", "clinical_group"),
    *("patient_group", "participant_type", "subject_type", "condition", "phenotype"),
    *("health_status", "clinical_status", "cohort"),
)
HEALTH_COLUMNS = (*_HEALTHY_COLUMNS, *_PATIENT_COLUMNS, *_DISEASE_COLUMNS, *_GROUP_COLUMNS)
"""Columns that can say who is healthy, by their simplified names."""

_HEALTHY = frozenset(
    {
        *("healthy", "control", "controls", "ctrl", "ctl", "con", "hc", "hcs", "hv", "cn", "nc"),
        *("normal", "neurotypical", "unaffected"),
    }
)
_HEALTHY_PHRASES = frozenset({"cognitively_normal", "cognitively_unimpaired"})
_PEOPLE = frozenset(
    {
        *("group", "groups", "volunteer", "volunteers", "subject", "subjects", "participant"),
        *("participants", "person", "people", "adult", "adults"),
    }
)
"""Words that may stand beside a word for health, and say nothing more."""

_PATIENT = frozenset(
    {
        *("patient", "patients", "case", "cases", "disease", "diseased", "sick", "lesion"),
        *("ms", "multiple_sclerosis", "rrms", "spms", "ppms", "cis", "stroke", "wmh"),
        *("tumor", "tumour", "glioma", "glioblastoma", "gbm", "meningioma", "metastasis"),
        *("epilepsy", "dementia", "ad", "mci", "pd", "tbi"),
    }
)
_NEGATIONS = frozenset(
    {"no", "non", "none", "not", "without", "never", "free", "negative", "un", "except", "excluded"}
)
_ARMS = frozenset(
    {
        *("treatment", "treated", "intervention", "placebo", "sham", "verum", "drug", "active"),
        *("experimental", "experiment", "exposed", "arm", "therapy"),
    }
)
"""Words of a trial, beside which a control is a patient too."""

_BARE_CONTROL = frozenset({"control", "controls", "ctrl", "ctl", "con"})

_NO_DISEASE = frozenset({"", "yes", "no", "other", "unclear", "undetermined"})
"""What names no disease, although it is in a column of diseases."""

_MISSING = frozenset({"n/a", "na", "n.a.", "nan", "none", "null", "unknown", ".", "?", "_"})


_DOUBTFUL_COLUMNS = (*_HEALTHY_COLUMNS, *_PATIENT_COLUMNS, "cohort")
"""Columns that may also hold something else, such as a patient's number or the name of a site."""


def simplified(text: str) -> str:
    """Lower case, without blanks around, words joined by ``_``; empty for a missing value."""
    plain = re.sub(r"[\s_-]+", "_", text.strip().lower())
    return "" if plain in _MISSING else plain


def column_name(text: str) -> str:
    """A column's name, simplified, without what only asks: ``Healthy? (yes/no)`` is ``healthy``."""
    plain = re.sub(r"[\W_]+", "_", simplified(text)).strip("_")
    return re.sub(r"_(y_n|yes_no|no_yes|0_1|1_0|true_false)$", "", plain)


@dataclass(frozen=True, slots=True)
class HealthColumn:
    """What one column says.

    Attributes:
        said: whom it calls healthy, and whom a patient.
        unclear: the cells of people whose health it tells in words that are not known.
        unknown: every value that is not known, once.
        problem: what follows from such a value, for a note.
    """

    said: Mapping[str, bool]
    unclear: Mapping[str, str]
    unknown: tuple[str, ...]
    problem: str


def read_column(column: str, cells: Mapping[str, str]) -> HealthColumn:
    """Read a column whole, for one cell may show that the others mean something else.

    Beside the arms of a trial, such as ``treatment``, a plain ``control`` says nothing. A cell that
    names a patient, such as ``active MS``, is no arm.

    A column of yes and no, and ``cohort``, are believed only where all values are known. Where none
    is, such a column is about something else: a patient's number, or a site.

    Args:
        column: its simplified name, one of ``HEALTH_COLUMNS``.
        cells: the cell of each person.
    """
    filled = {name: cell for name, cell in cells.items() if simplified(cell)}
    found = {name: says_healthy(column, cell) for name, cell in filled.items()}
    if any(found[name] is None and _ARMS & set(_parts(cell)) for name, cell in filled.items()):
        bare = {
            name for name, cell in filled.items() if set(_parts(cell)) - _PEOPLE <= _BARE_CONTROL
        }
        found |= dict.fromkeys(bare)
    said = {name: healthy for name, healthy in found.items() if healthy is not None}
    unclear = {name: cell for name, cell in filled.items() if name not in said}
    unknown = tuple(dict.fromkeys(unclear.values()))
    if not unclear or column not in _DOUBTFUL_COLUMNS:
        return HealthColumn(said, unclear, unknown, "not known as healthy, so not read as such")
    problem = "not known, so nobody is healthy or a patient by this column"
    return HealthColumn({}, filled if said else {}, unknown, problem)


def says_healthy(column: str, value: str) -> bool | None:
    """Tell what a cell says: healthy, a patient (``False``), or nothing (``None``).

    Yes and no, 1 and 0, count only in a column that asks the question, such as ``healthy`` or
    ``patient``. In a column of diseases whatever names something else than health is a disease.
    Elsewhere only known words count. A patient's word in a phrase (``MS patient``) counts, unless
    the phrase denies something or names health as well. A question mark makes it say nothing.

    Args:
        column: the column's simplified name, one of ``HEALTH_COLUMNS``.
        value: the cell.
    """
    word, words = simplified(value), _parts(value)
    if "?" in value:
        return None
    named = set(words) - _PEOPLE
    if (named and named <= _HEALTHY) or "_".join(words) in _HEALTHY_PHRASES:
        return True
    if word in _PATIENT:
        return False
    if column in (*_HEALTHY_COLUMNS, *_PATIENT_COLUMNS):
        asks_healthy = column in _HEALTHY_COLUMNS
        return asks_healthy if word in _YES else not asks_healthy if word in _NO else None
    is_patient = _names(words, _PATIENT)
    if _NEGATIONS & named or named & _HEALTHY or _names(words, _HEALTHY_PHRASES):
        return None
    is_disease = column in _DISEASE_COLUMNS and word not in _NO_DISEASE and not _is_number(word)
    return False if is_patient or is_disease else None


def speaks_of_health(cells: Iterable[str]) -> bool:
    """Whether the cells of a column of any name are words for health and patients, all of them.

    Args:
        cells: the column, empty cells among them.
    """
    filled = {cell for cell in cells if simplified(cell)}
    return bool(filled) and all(says_healthy("group", cell) is not None for cell in filled)


def _names(words: list[str], known: frozenset[str]) -> bool:
    """Whether one of the known words, or phrases joined by ``_``, is a part of a phrase."""
    parts = range(len(words))
    return any("_".join(words[a : b + 1]) in known for a in parts for b in parts if a <= b)


def _parts(value: str) -> list[str]:
    """The words and numbers of a cell."""
    return [part for part in re.split(r"[^a-z0-9]+", simplified(value)) if part]


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[+-]?\d+([.,]\d+)?", word) is not None
