"""What a detector must not learn from, lesions and tested scans, and what must not count twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from uad_bench.dataset import Split
from uad_bench.discovery.people.participants import first_of
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.volumes.files.masks import whole_numbers
from uad_bench.volumes.files.nifti import read_volume
from uad_bench.volumes.steps.read import is_lesion
from uad_bench.volumes.store.inputs import ScanInput
from uad_bench.volumes.store.prepare import Order
from uad_bench.volumes.store.prepared import PreparedDataset

SEEN: tuple[Split, ...] = ("train", "validation")
"""The splits that decide what a detector is."""

Marks = Sequence[tuple[str, Split, str]]
"""Scans of a dataset: name, split, and a hash of the FLAIR; empty where it cannot be read."""


def refuse_unfit(
    label: str,
    training: Order | None,
    evaluated: Mapping[str, Order],
    supervised: Mapping[str, Order],
) -> None:
    """Refuse training data with lesions, or that detectors are judged by, and a scan tested twice.

    All before any work.

    Args:
        label: the training dataset's name in tables.
        training: its scans and the hashes of their files; ``None`` for phantoms that are not there
            yet.
        evaluated: the same of the evaluated datasets, by name.
        supervised: the same of the datasets that supervised methods learn from.

    Raises:
        UadBenchError: naming the scans, all problems at once.
    """
    marks = {name: _marks(order) for name, order in evaluated.items()}
    learned = () if training is None else _marks(training)
    taught = {on: _marks(order) for on, order in supervised.items()}
    problems = [
        *(_ill(label, training) if training is not None else ()),
        *_shared(f"training dataset {label}", learned, marks),
        *_taught(taught, marks),
        *_taught_healthy(taught, label, learned),
        *(problem for name, scans in marks.items() for problem in _repeated(name, scans)),
    ]
    if problems:
        raise UadBenchError("; ".join(problems))


def refuse_same_voxels(
    label: str,
    training: PreparedDataset,
    evaluated: Mapping[str, PreparedDataset],
    supervised: Mapping[str, PreparedDataset],
) -> None:
    """Refuse training scans that are tested on, and scans tested twice, stored as another file.

    Args:
        label: the training dataset's name in tables.
        training: the dataset, prepared.
        evaluated: the evaluated datasets, prepared, by name.
        supervised: the datasets that supervised methods learn from, prepared, by name.

    Raises:
        UadBenchError: naming the scans.
    """
    others = {name: _voxels(dataset) for name, dataset in evaluated.items()}
    taught = {on: _voxels(dataset) for on, dataset in supervised.items()}
    problems = [
        *_shared(f"training dataset {label}", _voxels(training), others),
        *_taught(taught, others),
        *_taught_healthy(taught, label, _voxels(training)),
        *(problem for name, scans in others.items() for problem in _repeated(name, scans)),
    ]
    if problems:
        raise UadBenchError("; ".join(problems))


def _ill(label: str, training: Order) -> Iterator[str]:
    """The patients and the lesions among the training scans."""
    seen = [item for item in training.inputs if item.scan.split in SEEN]
    patients = [item.scan.name for item in seen if item.scan.healthy is False]
    lesions = [item.scan.name for item in seen if _marks_lesion(item)]
    advice = "detectors learn from healthy people; name these as test in participants.tsv"
    if lesions:
        yield f"training dataset {label}: a lesion is marked in {first_of(lesions)}: {advice}"
    if patients:
        yield f"training dataset {label}: {first_of(patients)} called a patient: {advice}"


def _marks_lesion(item: ScanInput) -> bool:
    """Whether a rater marked a lesion; a mask that cannot be read is said when it is prepared."""
    for path in item.scan.lesion:
        try:
            if is_lesion(whole_numbers(read_volume(path)), item.scan).any():
                return True
        except ScanError:
            continue
    return False


def _taught(supervised: Mapping[str, Marks], evaluated: Mapping[str, Marks]) -> Iterator[str]:
    """The same FLAIR on both sides of a supervised method, which is tested on its own test part."""
    for on, marks in supervised.items():
        yield from _shared(f"supervised training dataset {on}", marks, {**evaluated, on: marks})


def _taught_healthy(supervised: Mapping[str, Marks], label: str, training: Marks) -> Iterator[str]:
    """The same FLAIR among what a supervised method learns from and the healthy who judge it.

    Thresholds come from the validation scans of the training dataset, and false alarms from its
    test scans.
    """
    for on, marks in supervised.items():
        seen = {mark: name for name, split, mark in marks if split in SEEN}
        pairs = [
            _pair(seen[mark], name)
            for name, split, mark in training
            if split != "train" and mark and mark in seen
        ]
        if pairs:
            yield (
                f"supervised training dataset {on}: learns from healthy scans that thresholds and "
                f"false alarms come from, in validation or test of {label}: {first_of(pairs)}: "
                "take them out of one of the two"
            )


def _shared(whose: str, training: Marks, evaluated: Mapping[str, Marks]) -> Iterator[str]:
    """The same FLAIR on both sides: training and validation, or training and test."""
    splits = {split: {mark: name for name, its, mark in training if its == split} for split in SEEN}
    train, validation = (splits[split] for split in SEEN)
    both = [_pair(train[mark], validation[mark]) for mark in train if mark and mark in validation]
    if both:
        yield (
            f"{whose}: the same FLAIR in train and in validation: "
            f"{first_of(both)}: keep one of each"
        )
    seen = {**train, **validation}
    for other, scans in evaluated.items():
        pairs = [
            _pair(seen[mark], name)
            for name, split, mark in scans
            if split == "test" and mark and mark in seen
        ]
        if pairs:
            yield (
                f"{other} tests scans that {whose} learns from: "
                f"{first_of(pairs)}: take them out of one of the two"
            )


def _repeated(label: str, scans: Marks) -> Iterator[str]:
    """The same FLAIR under two names among the tested scans of one dataset."""
    first: dict[str, str] = {}
    tested = [(name, mark) for name, split, mark in scans if split == "test" and mark]
    pairs = [
        f"{one} and {name}"
        for name, mark in tested
        if (one := first.setdefault(mark, name)) != name
    ]
    if pairs:
        yield f"{label} tests the same FLAIR under two names: {first_of(pairs)}: keep one of each"


def _pair(one: str, other: str) -> str:
    return one if one == other else f"{one} (there {other})"


def _marks(order: Order) -> Marks:
    return [
        (item.scan.name, item.scan.split, "" if file.sha256 == "missing" else file.sha256)
        for item in order.inputs
        for file in item.files
        if file.role == "flair"
    ]


def _voxels(dataset: PreparedDataset) -> Marks:
    return [(scan.name, scan.split, scan.standard.voxels) for scan in dataset.scans]


def tested_twice(evaluated: Mapping[str, Order]) -> Iterator[str]:
    """Name the scans that two evaluated datasets share; both count, and the user should know."""
    first: dict[str, tuple[str, str]] = {}
    found: dict[tuple[str, str], list[str]] = {}
    for label, order in evaluated.items():
        for name, split, mark in _marks(order):
            if split == "test" and mark:
                other, _ = first.setdefault(mark, (label, name))
                if other != label:
                    found.setdefault((other, label), []).append(name)
    for (one, other), names in found.items():
        yield f"{one} and {other} test the same scans: {first_of(names)}"


def lent_masks(evaluated: Mapping[str, Order]) -> Iterator[str]:
    """Name people who share one lesion mask, as a wrong link or copy makes it."""
    for label, order in evaluated.items():
        owners: dict[str, list[ScanInput]] = {}
        for item in order.inputs:
            for file in item.files:
                if file.role.startswith("lesion") and file.sha256 != "missing":
                    owners.setdefault(file.sha256, []).append(item)
        shared = {
            tuple(dict.fromkeys(item.scan.subject for item in items)): items[0]
            for items in owners.values()
        }
        for people, item in shared.items():
            if len(people) > 1 and _marks_lesion(item):
                yield f"{label}: {first_of(people)} have the same lesion mask: is it theirs?"
