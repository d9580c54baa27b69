"""The results as values: what ``measure`` wrote, and the numbers the page takes from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from arms import ARMS, Arm
from effects import Values, combined, stacked
from numpy.typing import NDArray
from pack import Pack
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from uad_bench.errors import UadBenchError
from uad_bench.report.bercea2022 import BERCEA_2022

Post = Literal["none", "star", "star3d"]
Contrast = Literal["kept", "inside", "outside"]

POSTS: Mapping[Post, str] = {"none": "", "star": "*", "star3d": "*3D"}
"""The post-processings and how the page writes them."""


def own_post(arm: Arm, post: Post = "star") -> Post:
    """The post-processing that a table takes: ``post``, but a new detector's score as it is."""
    return "none" if arm.group == "detector" else post


MARK = " (simulated)"
"""How the pack's labels of simulated datasets of patients end."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StoredScan(_Stored):
    """One scan's metrics; ``None`` where one is undefined."""

    subject: str
    metrics: Mapping[str, float | None]

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, stored: dict[str, Any]) -> dict[str, Any]:
        rest = {key: stored[key] for key in stored if key not in ("subject", "session")}
        return {"subject": stored["subject"], "metrics": rest}


class StoredPost(_Stored):
    """A dataset under one post-processing."""

    auprc_pooled: float | None
    thresholds: Mapping[str, float]
    scans: tuple[StoredScan, ...]


class StoredDataset(_Stored):
    """A dataset of patients; ``contrast`` is empty for a method that reconstructs nothing."""

    posts: Mapping[Post, StoredPost]
    contrast: tuple[Mapping[str, float | None], ...]


class StoredResult(_Stored):
    """One arm with one seed."""

    arm: str
    method: str
    params: Mapping[str, Any]
    data: str
    seed: int
    steps: int
    slices_seen: int
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    notes: tuple[str, ...]
    train_s: float
    score_s: float
    healthy: tuple[Mapping[str, float | None], ...]
    datasets: Mapping[str, StoredDataset]
    lesion_free: Mapping[Post, tuple[StoredScan, ...]] = {}
    pack: str
    shape: tuple[int, ...]
    device: str
    versions: Mapping[str, str]
    commit: str


def base_of(arm: Arm, arms: Iterable[Arm]) -> Arm | None:
    """The arm that another one is a variant of: the longest name that it goes on from.

    Detectors vary only detectors.
    """
    bases = [
        one
        for one in arms
        if arm.name.startswith(f"{one.name}-")
        and (arm.group != "detector" or one.group == "detector")
    ]
    return max(bases, key=lambda one: len(one.name), default=None)


@dataclass(frozen=True, slots=True)
class Group:
    """Datasets whose patients are taken together.

    Attributes:
        title: as tables write it; says whether the patients are simulated.
        datasets: labels in the pack.
        people: how many patients.
    """

    title: str
    datasets: tuple[str, ...]
    people: int


@dataclass(frozen=True, eq=False)
class Study:
    """All results of one folder.

    Attributes:
        pack: the data.
        results: by arm and seed.
        arms: those of ``arms.py``, in its order, whether or not they were run.
        folder: where the results lie.
        percentile: the same people under the paper's normalisation, if they were measured.
    """

    pack: Pack
    results: Mapping[str, Mapping[int, StoredResult]]
    arms: tuple[Arm, ...]
    folder: Path
    percentile: Study | None = None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Arms that have results and stand in no list."""
        return tuple(sorted(set(self.results) - {arm.name for arm in self.arms}))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that any trained arm has."""
        found = {s for of in self.results.values() for s, one in of.items() if one.steps}
        return tuple(sorted(found))

    def has(self, arm: str) -> bool:
        """Whether an arm has any result."""
        return arm in self.results

    def label(self, arm: Arm) -> str:
        """What tables call an arm: in full, and with its seeds where some are missing."""
        name = (arm.label or arm.name).replace("…", "thresholding,")
        base = base_of(arm, self.arms)
        if base is not None and base.label.split(",")[0] not in name:
            name = f"{base.label}, {name}"
        if arm.group == "control":
            name += " (control)"
        done = self.results.get(arm.name, {})
        missing = any(one.steps for one in done.values()) and len(done) < len(self.seeds)
        return f"{name} ({len(done)} of {len(self.seeds)} seeds)" if missing else name

    def people(self, dataset: str) -> tuple[str, ...]:
        """Names of a dataset's patients, unique over datasets."""
        scans = self.pack.datasets[dataset].scans
        return tuple(dict.fromkeys(f"{dataset}/{scan.subject}" for scan in scans))

    def group(self, title: str, datasets: Sequence[str]) -> Group:
        """Take datasets together."""
        return Group(title, tuple(datasets), sum(len(self.people(one)) for one in datasets))

    @cached_property
    def datasets(self) -> tuple[Group, ...]:
        """Every dataset of patients, the real ones first."""
        found = []
        for label in self._ordered():
            dataset = self.pack.datasets[label]
            kind = "simulated" if dataset.simulated else "real"
            title = BERCEA_2022.title(label.removesuffix(MARK))
            found.append(self.group(f"{title} ({kind})", [label]))
        return tuple(found)

    def _ordered(self) -> list[str]:
        """Labels of the datasets of patients: the real ones first, each kind as in the paper."""
        order = list(BERCEA_2022.datasets)

        def place(label: str) -> tuple[bool, int]:
            name = label.removesuffix(MARK)
            known = order.index(name) if name in order else len(order)
            return self.pack.datasets[label].simulated, known

        return sorted(self.pack.patients, key=place)

    @cached_property
    def real(self) -> Group:
        """The real patients together."""
        return self._kind(simulated=False)

    @cached_property
    def simulated(self) -> Group:
        """The simulated patients together."""
        return self._kind(simulated=True)

    def _kind(self, *, simulated: bool) -> Group:
        datasets = self.pack.datasets
        group = self.group("", [k for k in self._ordered() if datasets[k].simulated == simulated])
        title = f"{group.people} {'simulated' if simulated else 'real'} patients"
        return Group(title, group.datasets, group.people)

    @cached_property
    def kinds(self) -> tuple[Group, ...]:
        """Real and simulated patients, as far as there are any."""
        return tuple(group for group in (self.real, self.simulated) if group.people)

    def metric(self, arm: str, group: Group, post: Post, metric: str) -> Values | None:
        """A metric of every patient of a group, ``None`` where the arm was not run."""
        return stacked(
            combined(
                {
                    seed: _averaged(
                        (f"{label}/{scan.subject}", scan.metrics.get(metric))
                        for scan in one.datasets[label].posts[post].scans
                    )
                    for seed, one in self._by_seed(arm).items()
                }
            )
            for label in group.datasets
        )

    def pooled_auprc(self, arm: str, dataset: str, post: Post) -> float | None:
        """AUPRC over all voxels of a dataset's slices, background included; mean over seeds."""
        found = [
            one.datasets[dataset].posts[post].auprc_pooled for one in self._by_seed(arm).values()
        ]
        defined = [value for value in found if value is not None]
        return float(np.mean(defined)) if defined else None

    def contrast(self, arm: str, group: Group, name: Contrast) -> Values | None:
        """How an arm reconstructs the lesions of every patient of a group."""
        return stacked(
            combined(
                {
                    seed: _averaged(
                        (f"{label}/{scan.subject}", values[name])
                        for scan, values in zip(
                            self.pack.datasets[label].scans,
                            one.datasets[label].contrast,
                            strict=True,
                        )
                    )
                    for seed, one in self._by_seed(arm).items()
                    if one.datasets[label].contrast
                }
            )
            for label in group.datasets
        )

    def lesion_free(self, arm: str, post: Post) -> Values | None:
        """False-positive rate in the lesion-free slices of every real patient who has some."""
        return combined(
            {
                seed: _averaged(
                    (f"lesion-free/{scan.subject}", scan.metrics["fpr"])
                    for scan in one.lesion_free[post]
                )
                for seed, one in self._by_seed(arm).items()
                if post in one.lesion_free
            }
        )

    def healthy(self, arm: str, name: str) -> Values | None:
        """A number of every unseen healthy person."""
        scans = self.pack.datasets["unseen"].scans
        found = combined(
            {
                seed: {
                    f"unseen/{scan.subject}": values.get(name)
                    for scan, values in zip(scans, one.healthy, strict=True)
                }
                for seed, one in self._by_seed(arm).items()
                if one.healthy
            }
        )
        return None if found is None or np.isnan(found.table).all() else found

    def _by_seed(self, arm: str) -> dict[int | None, StoredResult]:
        """Results by seed; of an arm that is not trained, its only one under ``None``."""
        done = self.results.get(arm, {})
        return {seed if one.steps else None: one for seed, one in done.items()}

    def pictures(self, arm: str) -> dict[str, NDArray[np.float32]]:
        """What was kept of an arm's example slices, of its first seed."""
        done = self.results.get(arm, {})
        if not done:
            return {}
        file = self.folder / f"{arm}-s{min(done)}.npz"
        if not file.is_file():
            return {}
        with np.load(file, allow_pickle=False) as data:
            return {key: data[key].astype(np.float32) for key in data.files}


def _averaged(pairs: Iterable[tuple[str, float | None]]) -> dict[str, float | None]:
    """Mean over the scans of each person for whom the number is defined."""
    found: dict[str, list[float]] = {}
    for person, value in pairs:
        found.setdefault(person, []).extend([] if value is None else [value])
    return {person: float(np.mean(of)) if of else None for person, of in found.items()}


def read_study(pack: Pack, folder: Path) -> Study:
    """Read every result of a folder.

    Args:
        pack: the data.
        folder: of the results; ``percentile`` in it may hold those of the same people under the
            paper's normalisation.

    Raises:
        UadBenchError: if there is none, one cannot be read, or one is of other data.
    """
    results = _read(pack, folder, other_recipe=False)
    inner = folder / "percentile"
    percentile = None
    if any(inner.glob(_STORED)):
        percentile = Study(pack, _read(pack, inner, other_recipe=True), ARMS, inner)
    return Study(pack, results, ARMS, folder, percentile)


_STORED = "*-s*.json"


def _read(
    pack: Pack, folder: Path, *, other_recipe: bool
) -> Mapping[str, Mapping[int, StoredResult]]:
    """Results by arm and seed; ``other_recipe``: only the people are those of the pack."""
    results: dict[str, dict[int, StoredResult]] = {}
    for file in sorted(folder.glob(_STORED)):
        try:
            one = StoredResult.model_validate_json(file.read_bytes())
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise UadBenchError(f"{file}: {where} is not what `run` writes: run it again") from None
        if one.pack != pack.sha256 and not other_recipe:
            raise UadBenchError(
                f"{file} was measured on pack {one.pack[:12]}, not {pack.sha256[:12]}: give the "
                "pack that it was measured on"
            )
        results.setdefault(one.arm, {})[one.seed] = one
    if not results:
        raise UadBenchError(f"{folder} has no result: run `python benchmarks/fidelity run` first")
    return {arm: dict(sorted(of.items())) for arm, of in results.items()}
