"""What a cell of ``participants.tsv`` says about a person's health."""

from __future__ import annotations

import re

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
        *("normal", "neurotypical", "cognitively_normal", "cognitively_unimpaired"),
        *(
            f"{kind}_{who}"
            for kind in ("healthy", "normal")
            for who in (
                *("control", "controls", "volunteer", "volunteers", "subject", "subjects"),
                *("participant", "participants", "person", "people", "adult", "adults"),
            )
        ),
    }
)
_PATIENT = frozenset(
    {
        *("patient", "patients", "case", "cases", "disease", "diseased", "sick", "lesion"),
        *("ms", "multiple_sclerosis", "rrms", "spms", "ppms", "cis", "stroke", "wmh"),
        *("tumor", "tumour", "glioma", "glioblastoma", "gbm", "meningioma", "metastasis"),
        *("epilepsy", "dementia", "ad", "mci", "pd", "tbi"),
    }
)
_NO_DISEASE = frozenset({"", "yes", "no", "other", "unclear", "undetermined"})
"""What names no disease, although it is in a column of diseases."""

_MISSING = frozenset({"n/a", "na", "n.a.", "nan", "none", "null", "unknown", ".", "?", "_"})


def simplified(text: str) -> str:
    """Lower case, without blanks around, words joined by ``_``; empty for a missing value."""
    plain = re.sub(r"[\s_-]+", "_", text.strip().lower())
    return "" if plain in _MISSING else plain


def says_healthy(column: str, value: str) -> bool | None:
    """Tell what a cell says: healthy, a patient (``False``), or nothing (``None``).

    Yes and no, 1 and 0, count only in a column that asks the question, such as ``healthy`` or
    ``patient``. In a column of diseases whatever names something else than health is a disease.
    Elsewhere only known words count.

    Args:
        column: the column's simplified name, one of ``HEALTH_COLUMNS``.
        value: the cell.
    """
    word = simplified(value)
    if word in _HEALTHY:
        return True
    if word in _PATIENT:
        return False
    if column in (*_HEALTHY_COLUMNS, *_PATIENT_COLUMNS):
        asks_healthy = column in _HEALTHY_COLUMNS
        return asks_healthy if word in _YES else not asks_healthy if word in _NO else None
    if column in _DISEASE_COLUMNS and word not in _NO_DISEASE and not _is_number(word):
        return False
    return None


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[+-]?\d+([.,]\d+)?", word) is not None
