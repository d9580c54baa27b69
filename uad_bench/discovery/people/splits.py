"""Which subjects train, validate and test where nobody says it: one rule for every dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from uad_bench.dataset import Dataset, Reading, Scan, Split
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


def divided(
    root: Path,
    scans: Sequence[Scan],
    people: Participants | None,
    waived: Iterable[Path] = (),
) -> tuple[Scan, ...]:
    """Divide a dataset that has only test scans, so that detectors can learn from it.

    A dataset whose own list of people names the splits stays as it is.

    Args:
        root: the dataset's own folder, for messages.
        scans: its scans.
        people: its own list of people, where it has one.
        waived: the volumes that its ``.bidsignore`` waives.

    Raises:
        UadBenchError: a dataset that names no split and cannot be divided: of patients, or of
            fewer than three people; somebody to learn from whose health is written in unknown
            words, or not told where that of others is, or who has a lesion mask that is waived.
    """
    named = people is not None and people.splits is not None
    if named or any(scan.split != "test" for scan in scans):
        _refuse_unknown(root, [scan for scan in scans if scan.split != "test"], people, waived)
        return tuple(scans)
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
    return tuple(replace(scan, split=splits[scan.subject]) for scan in scans)


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


class ForTraining(Dataset):
    """A dataset as training sees it: one that has only test scans is divided by the rule."""

    def __init__(self, dataset: Dataset) -> None:
        """Take the dataset's adapter."""
        self.dataset = dataset
        self.info = dataset.info  # type: ignore[misc]  # a class has one, and so has this adapter

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the adapter's scans, divided where they must be.

        Raises:
            UadBenchError: see :func:`divided`.
        """
        yield from self.read(root).scans

    def read(self, root: Path) -> Reading:
        """Read as the adapter does, and divide the scans where they must be.

        Raises:
            UadBenchError: see :func:`divided`.
        """
        reading = self.dataset.read(root)
        people = self.participants(root) if reading.scans else None
        return replace(reading, scans=divided(root, reading.scans, people, reading.waived))

    def participants(self, root: Path) -> Participants | None:
        """Read the adapter's list of people."""
        return self.dataset.participants(root)
