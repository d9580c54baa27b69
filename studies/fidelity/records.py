"""The results as values: what ``run`` wrote, and the numbers that the page takes from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.report.bercea2022 import BERCEA_2022

from . import effects
from .arms import Arm
from .effects import FIXED, Estimate, Values

POSTS = ("", "*", "*3D")
"""The post-processings: none, ``star``, and its median over 3 x 3 x 3 voxels. A number's name ends
in the mark of its post-processing, such as ``auprc*3D``."""

SIMULATED = " (simulated)"  # ends the name of a simulated dataset of patients
DATA = "data.json"  # has the facts of the data, in a results folder
Numbers = Mapping[str, Mapping[str, float | None]]  # by person and name; `None`: undefined


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Patient(_Stored):
    """A patient of a dataset."""

    lesion_ml: float
    saturated: float | None  # share of the lesion voxels at the top of the scale
    coverage: float  # share of the atlas's brain that is inside the brain mask


class Facts(_Stored):
    """What the page says of the data."""

    hash: str  # of all prepared datasets
    shape: tuple[int, int]  # of a slice
    spacing: tuple[float, float, float]  # (z, y, x) in mm
    people: Mapping[str, int]  # healthy ones, by split
    slices: int  # that are trained on
    patients: Mapping[str, Mapping[str, Patient]]  # by dataset and subject
    atlas: Numbers  # Dice of the tissue prior itself on unseen people; `CSFtold`: in their brain
    lesion_free: Mapping[str, int]  # slices of each real patient who is tested nowhere
    distance: tuple[float, ...]  # of the layers of EfficientNet-Lite0 between healthy and flat
    flat_l1: float  # between the same slices
    label_maps: Mapping[str, int]  # voxels with a lesion label


class Record(_Stored):
    """One arm with one seed."""

    arm: str
    seed: int
    params: Mapping[str, Any]
    steps: int  # 0 for what is not trained
    slices_seen: int
    curves: Mapping[str, tuple[tuple[float, float], ...]]  # pairs of step and value
    train_s: float
    score_s: float
    numbers: Mapping[str, Numbers]  # by dataset, with `unseen` and `lesion-free`
    pooled: Mapping[str, Mapping[str, float | None]]  # AUPRC with background, by dataset and mark
    data: str  # hash of the data
    device: str
    versions: Mapping[str, str]
    commit: str


@dataclass(frozen=True, slots=True)
class Group:
    """Datasets whose people are taken together."""

    title: str  # as tables write it
    datasets: tuple[str, ...]
    people: int = 0


UNSEEN = Group("unseen", ("unseen",))
LESION_FREE = Group("lesion-free", ("lesion-free",))


@dataclass(frozen=True, eq=False)
class Study:
    """All results of one folder."""

    facts: Facts
    records: Mapping[str, Mapping[int, Record]]  # by arm and seed
    folder: Path
    percentile: Study | None = None  # the same people under the paper's normalisation

    @cached_property
    def every(self) -> tuple[Record, ...]:
        """All results."""
        return tuple(one for of in self.records.values() for one in of.values())

    @property
    def trained(self) -> tuple[Record, ...]:
        """The results of what was trained."""
        return tuple(one for one in self.every if one.steps)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that any trained arm has."""
        return tuple(sorted({one.seed for one in self.trained}))

    def has(self, arm: str) -> bool:
        """Whether an arm has any result."""
        return arm in self.records

    def label(self, arm: Arm) -> str:
        """What tables call an arm: in full, and with its seeds where some are missing."""
        name, base = arm.label, arm.base
        if base is not None and base.label.split(",")[0] not in name:
            name = f"{base.label}, {name}"
        if arm.group == "control":
            name += " (control)"
        done = self.records.get(arm.name, {})
        missing = done and arm.longer and len(done) < len(self.seeds)
        return f"{name} ({len(done)} of {len(self.seeds)} seeds)" if missing else name

    def group(self, title: str, datasets: Sequence[str]) -> Group:
        """Take datasets of patients together."""
        people = sum(len(self.facts.patients[one]) for one in datasets)
        return Group(title, tuple(datasets), people)

    @cached_property
    def datasets(self) -> tuple[Group, ...]:
        """Every dataset of patients: the real ones first, each kind in the paper's order."""
        both = [(name, mark) for mark in ("", SIMULATED) for name in BERCEA_2022.datasets]
        return tuple(
            self.group(f"{BERCEA_2022.title(name)}{mark or ' (real)'}", [f"{name}{mark}"])
            for name, mark in both
            if f"{name}{mark}" in self.facts.patients
        )

    @cached_property
    def kinds(self) -> tuple[Group, Group]:
        """The real patients together, and the simulated ones."""
        return self._kind("real"), self._kind("simulated")

    def _kind(self, kind: str) -> Group:
        of = [one for one in self.datasets if one.title.endswith(f"({kind})")]
        people = sum(one.people for one in of)
        return Group(f"{people} {kind} patients", tuple(one.datasets[0] for one in of), people)

    @property
    def real(self) -> Group:
        """The real patients together."""
        return self.kinds[0]

    @property
    def simulated(self) -> Group:
        """The simulated patients together."""
        return self.kinds[1]

    def patients(self, group: Group) -> dict[str, Patient]:
        """Every patient of a group, by ``dataset/subject``."""
        return {
            f"{dataset}/{subject}": patient
            for dataset in group.datasets
            for subject, patient in self.facts.patients[dataset].items()
        }

    def values(self, arm: str, group: Group, name: str) -> Values | None:
        """A number of everyone in a group, ``None`` where the arm was not run or has none."""
        parts = []
        for dataset in group.datasets:
            by_seed = {
                one.seed if one.steps else FIXED: {
                    f"{dataset}/{person}": numbers.get(name)
                    for person, numbers in one.numbers.get(dataset, {}).items()
                    if name in numbers
                }
                for one in self.records.get(arm, {}).values()
            }
            parts.append(effects.arranged(by_seed))
        return effects.stacked(parts)

    def mean(self, arm: str, group: Group, name: str) -> Estimate | None:
        """The mean of a number over a group."""
        return effects.estimate(self.values(arm, group, name))

    def gain(self, arm: str, base: str, group: Group, name: str) -> Estimate | None:
        """How much an arm has more of a number than another one, paired by person and seed."""
        pair = (self.values(one, group, name) for one in (arm, base))
        return effects.estimate(effects.difference(*pair))

    def pooled(self, arm: str, group: Group, mark: str) -> str:
        """AUPRC over all voxels of a dataset's slices, background included; mean over seeds."""
        found = [one.pooled[group.datasets[0]][mark] for one in self.records[arm].values()]
        defined = [value for value in found if value is not None]
        return f"{np.mean(defined):.2f}" if defined else "-"

    def pictures(self, arm: str) -> dict[str, NDArray[np.float32]]:
        """What was kept of an arm's example slices, of its first seed; ``data`` has the scans."""
        name = arm if arm == "data" else f"{arm}-s{min(self.records[arm])}"
        file = self.folder / f"{name}.npz"
        if not file.is_file():
            return {}
        with np.load(file, allow_pickle=False) as data:
            return {key: data[key].astype(np.float32) for key in data.files}


def read_study(folder: Path) -> Study:
    """Read every result of a folder.

    ``percentile`` in it may hold those of the same people under the paper's normalisation.

    Raises:
        UadBenchError: if there is none, one cannot be read, or one is of other data.
    """
    facts, inner = _facts(folder), folder / "percentile"
    percentile = Study(facts, _records(inner), inner) if inner.is_dir() else None
    return Study(facts, _records(folder), folder, percentile)


def _facts(folder: Path) -> Facts:
    if not (folder / DATA).is_file():
        raise UadBenchError(f"{folder} has no result: run `python -m studies.fidelity run` first")
    return _read(Facts, folder / DATA)


def _records(folder: Path) -> Mapping[str, Mapping[int, Record]]:
    known, found = _facts(folder).hash, dict[str, dict[int, Record]]()
    for file in sorted(folder.glob("*-s*.json")):
        one = _read(Record, file)
        if one.data != known:
            raise UadBenchError(
                f"{file} was measured on data {one.data}, not {known}: remove it and run it again"
            )
        found.setdefault(one.arm, {})[one.seed] = one
    return {arm: dict(sorted(of.items())) for arm, of in found.items()}


_Model = TypeVar("_Model", bound=BaseModel)


def _read(model: type[_Model], file: Path) -> _Model:
    try:
        return model.model_validate_json(file.read_bytes())
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UadBenchError(f"{file}: {where} is not what `run` writes: run it again") from None
