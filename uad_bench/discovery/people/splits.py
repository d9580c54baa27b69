"""Which subjects train, validate and test where nobody says it: one rule for every dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

from uad_bench.dataset import Dataset, Reading, Scan, Split
from uad_bench.discovery.people.participants import Participants, first_of
from uad_bench.discovery.unclaimed import lesion_mask_of
from uad_bench.errors import UadBenchError

TRAIN, VALIDATION, TEST = 125, 15, 23
"""The proportions of the paper's healthy dataset (Bercea et al., 2022, Table 1)."""

TAUGHT, CHOSEN, TESTED = 6, 1, 3
"""The proportions of a dataset of patients that supervised methods learn from. The U-Nets of
Bercea et al. 2022 learned from 70 % and were tested on the rest, by which their state was also
chosen; here others decide on that."""

FEWEST = 3
"""People who can be divided into three parts."""

_FIX = "name train and validation subjects in a column 'split' of its participants.tsv"


def default_splits(
    subjects: Iterable[str], proportions: tuple[int, int, int] = (TRAIN, VALIDATION, TEST)
) -> dict[str, Split]:
    """Order subjects by the SHA-256 of their names and divide them, by default 125 : 15 : 23.

    No part is empty where there are three subjects or more.

    Args:
        subjects: their names, in any order.
        proportions: of train, validation and test.
    """
    ordered = sorted(subjects, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    total = sum(proportions)
    train = max(1, min(round(len(ordered) * proportions[0] / total), len(ordered) - 2))
    validation = train + max(1, round(len(ordered) * proportions[1] / total))
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
    if 0 < len(subjects) < FEWEST:
        raise UadBenchError(
            f"{root}: {len(subjects)} "
            f"{'subject is' if len(subjects) == 1 else 'subjects are'} too few to be divided for "
            f"training; give {FEWEST} or more, or {_FIX}"
        )
    splits = default_splits(subjects)
    return replace(
        reading, scans=tuple(replace(scan, split=splits[scan.subject]) for scan in scans)
    )


class SupervisedDataset(Dataset):
    """A dataset of patients that is divided when it is read (:func:`divided_for_supervision`)."""

    def __init__(self, dataset: Dataset) -> None:
        """Keep the adapter."""
        self.info = dataset.info  # type: ignore[misc]  # a class has one, and so has this adapter
        self._dataset = dataset

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the scans below ``root``, with their splits."""
        yield from self.read(root).scans

    def read(self, root: Path) -> Reading:
        """Return what is below ``root``, with the splits of the scans."""
        return divided_for_supervision(root, self._dataset.read(root))


def divided_for_supervision(root: Path, reading: Reading) -> Reading:
    """Divide a dataset of patients, so that a method learns from some and is tested on others.

    Patients are divided apart from healthy people, 6 : 1 : 3 each, so that every part has lesions.
    Patients and healthy people whose splits are named keep them. A scan without a mask, of
    somebody whom nobody calls healthy, is left out, because it may show a lesion.

    Args:
        root: the dataset's own folder, for messages.
        reading: what is in it.

    Raises:
        UadBenchError: no lesion mask, fewer than three people with one, or named splits of which
            one has none.
    """
    masked = [scan for scan in reading.scans if any(path.is_file() for path in scan.lesion)]
    healthy = [scan for scan in reading.scans if scan.healthy and not scan.lesion]
    patients = dict.fromkeys(scan.subject for scan in masked)
    if not patients:
        raise UadBenchError(
            f"{root}: no lesion mask, and supervised methods learn from masks: name a dataset "
            "that has them"
        )
    named = {scan.split for scan in masked}
    splits: dict[str, Split] = {}
    parts = (TAUGHT, CHOSEN, TESTED)
    if named != {"test"}:
        if absent := [split for split in get_args(Split) if split not in named]:
            raise UadBenchError(
                f"{root}: nobody with a lesion mask is in {' or '.join(absent)}; a supervised "
                "method needs subjects to learn from, to choose its state by and to be tested on: "
                "name some in the column 'split' of participants.tsv, or take the column out"
            )
    elif len(patients) < FEWEST:
        raise UadBenchError(
            f"{root}: {len(patients)} {'subject' if len(patients) == 1 else 'subjects'} with a "
            f"lesion mask cannot be divided into train, validation and test: give {FEWEST} or more"
        )
    else:
        splits = default_splits(patients, parts)
    unnamed = {scan.subject for scan in healthy if scan.split == "test"} - patients.keys()
    if {scan.split for scan in healthy} == {"test"} and named == {"test"}:
        splits |= default_splits(unnamed, parts)
    return replace(
        reading,
        scans=tuple(
            replace(scan, split=splits.get(scan.subject, scan.split))
            for scan in reading.scans
            if scan in masked or scan in healthy
        ),
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
