"""Which subjects train, validate and test where nobody says it: one rule for every dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from uad_bench.dataset import Reading, Scan, Split
from uad_bench.discovery.people.participants import Participants, first_of
from uad_bench.discovery.unclaimed import lesion_mask_of
from uad_bench.errors import UadBenchError

TRAIN, VALIDATION, TEST = 125, 15, 23
"""The proportions of the paper's healthy dataset (Bercea et al., 2022, Table 1)."""

_FEWEST = 3
_FIX = "name train and validation subjects in a column 'split' of its participants.tsv"


def default_splits(subjects: Iterable[str]) -> dict[str, Split]:
    """Order subjects by the SHA-256 of their names and divide them 125 : 15 : 23.

    No part is empty where there are three subjects or more.
    """
    ordered = sorted(subjects, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    total = TRAIN + VALIDATION + TEST
    train = max(1, min(round(len(ordered) * TRAIN / total), len(ordered) - 2))
    validation = train + max(1, round(len(ordered) * VALIDATION / total))
    parts: tuple[tuple[Split, list[str]], ...] = (
        ("train", ordered[:train]),
        ("validation", ordered[train:validation]),
        ("test", ordered[validation:]),
    )
    return {name: split for split, names in parts for name in names}


def divided(root: Path, reading: Reading) -> Reading:
    """Divide a dataset that has only test scans, so that detectors can learn from it.

    A dataset whose own list of people names the splits stays as it is.

    Args:
        root: the dataset's own folder, for messages.
        reading: what is in it.

    Raises:
        UadBenchError: a dataset that names no split and cannot be divided: of patients, or of
            fewer than three people; somebody to learn from whose health is written in unknown
            words, or not told where that of others is, or who has a lesion mask that is waived.
    """
    scans, people, waived = reading.scans, reading.people, reading.waived
    named = people is not None and people.splits is not None
    if named or any(scan.split != "test" for scan in scans):
        _refuse_unknown(root, [scan for scan in scans if scan.split != "test"], people, waived)
        return reading
    _refuse_unknown(root, scans, people, waived)
    ill = dict.fromkeys(
        scan.subject
        for scan in scans
        if scan.healthy is False or any(path.is_file() for path in scan.lesion)
    )
    if ill:
        raise UadBenchError(
            f"{root}: cannot be divided for training: {first_of(ill)} "
            f"{'has a lesion mask or is' if len(ill) == 1 else 'have lesion masks or are'} called "
            f"{'a patient' if len(ill) == 1 else 'patients'}; {_FIX}"
        )
    subjects = dict.fromkeys(scan.subject for scan in scans)
    if 0 < len(subjects) < _FEWEST:
        raise UadBenchError(
            f"{root}: {len(subjects)} "
            f"{'subject is' if len(subjects) == 1 else 'subjects are'} too few to be divided for "
            f"training; give {_FEWEST} or more, or {_FIX}"
        )
    splits = default_splits(subjects)
    return replace(
        reading, scans=tuple(replace(scan, split=splits[scan.subject]) for scan in scans)
    )


def _refuse_unknown(
    root: Path, scans: Iterable[Scan], people: Participants | None, waived: Iterable[Path]
) -> None:
    """Refuse scans to learn from of people who may be patients."""
    scans = tuple(scans)
    subjects = dict.fromkeys(scan.subject for scan in scans)
    if people is not None:
        people.refuse_unclear(subjects)
        people.refuse_unsaid(
            scan.subject for scan in scans if scan.healthy is None and not scan.lesion
        )
    masks = [path for path in waived if lesion_mask_of(path.relative_to(root)) in subjects]
    if masks:
        raise UadBenchError(
            f"{root}: a subject to learn from has a lesion mask that .bidsignore waives: "
            f"{first_of(path.relative_to(root).as_posix() for path in masks)}: name the subject as "
            "test in participants.tsv, or remove the file if it shows no lesion"
        )
