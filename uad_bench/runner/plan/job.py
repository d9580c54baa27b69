"""What the jobs of a plan say. They hold no data: names, parameters and what they depend on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from uad_bench.cells import short_hash
from uad_bench.method import Method, Params
from uad_bench.runner.data.source import Source
from uad_bench.runner.data.sources import Sources
from uad_bench.runner.detectors.map_files import MadeElsewhere
from uad_bench.runner.detectors.trainings import batch_sizes


def named(method: str, supervised_on: str) -> str:
    """Return a method's name, with the dataset that a supervised one learns from."""
    return f"{method}{supervised_on and f' supervised on {supervised_on}'}"


@dataclass(frozen=True, slots=True)
class _Job(ABC):
    """What all jobs have in common."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What a person calls it."""

    @property
    def key(self) -> str:
        """What identifies it among the jobs of a plan: its name, where that is enough."""
        return self.name

    @property
    def needs(self) -> tuple[Job, ...]:
        """The jobs that must be done before: those that it is made of."""
        values = (getattr(self, one.name) for one in fields(self))
        parts = (part for one in values for part in (one if isinstance(one, tuple) else (one,)))
        return tuple(part for part in parts if isinstance(part, Job))

    @property
    def is_vital(self) -> bool:
        """Whether nothing can go on without it: without data there is no run."""
        return isinstance(self, FindFiles | Prepare | CheckData)

    @property
    def uses_device(self) -> bool:
        """Whether a detector is trained or scores."""
        return isinstance(self, Tune | Train | Evaluate | EvaluatePart | Measure)


@dataclass(frozen=True, slots=True)
class FindFiles(_Job):
    """Simulate what is simulated, and check every dataset's files before any is prepared.

    It is one job, because what it refuses is between datasets, such as a scan that is trained on
    and tested, and because phantoms of all datasets share one pool of processes.

    Attributes:
        training: the training dataset, where there is one.
        evaluated: the evaluated datasets.
        supervised: those that supervised methods learn from.
    """

    training: Source | None
    evaluated: tuple[Source, ...]
    supervised: tuple[Source, ...] = ()

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "find the files"


@dataclass(frozen=True, slots=True)
class Prepare(_Job):
    """Prepare one dataset, or find it prepared.

    Attributes:
        files: what finds its files.
        source: where it comes from.
        role: what it is in the run.
    """

    files: FindFiles
    source: Source
    role: Literal["training dataset", "dataset", "supervised training dataset"]

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"prepare {self.role} {self.source.label}"


@dataclass(frozen=True, slots=True)
class CheckData(_Job):
    """Check that the prepared datasets fit together, and what is trained on them.

    Attributes:
        training: what prepares the training dataset.
        evaluated: what prepares the evaluated ones.
        supervised: what prepares those that supervised methods learn from.
        batches: of each training, whose `batch_size` says it, the dataset that a supervised method
            learns from, and how many slices a step takes.
    """

    training: Prepare
    evaluated: tuple[Prepare, ...]
    supervised: tuple[Prepare, ...] = ()
    batches: tuple[tuple[str, str, int], ...] = ()

    @classmethod
    def of(
        cls, sources: Sources, trained: Iterable[tuple[type[Method], str, Params]] = ()
    ) -> CheckData:
        """The check of these datasets for these trainings, with the jobs that prepare them.

        Args:
            sources: the datasets.
            trained: methods, the dataset that a supervised one learns from, and parameters.
        """
        files = FindFiles(sources.training, sources.evaluated, sources.supervised)
        return cls(
            Prepare(files, sources.training, "training dataset"),
            tuple(Prepare(files, one, "dataset") for one in sources.evaluated),
            tuple(Prepare(files, one, "supervised training dataset") for one in sources.supervised),
            tuple(
                dict.fromkeys(
                    (name, on, size)
                    for method, on, params in trained
                    for name, size in batch_sizes(method, params)
                )
            ),
        )

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "check the prepared data"


@dataclass(frozen=True, slots=True)
class Tune(_Job):
    """Choose a method's tunable parameters on healthy validation scans.

    Attributes:
        method: the method.
        params: its parameters before.
        data: what it learns from.
        supervised_on: the dataset that a supervised method learns from; empty for others.
    """

    method: type[Method]
    params: Params
    data: CheckData
    supervised_on: str = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"tune {named(self.method.info.name, self.supervised_on)}"


@dataclass(frozen=True, slots=True)
class Train(_Job):
    """Train one detector, or find it trained.

    Attributes:
        method: the method.
        params: its parameters, before tuning where it is tuned.
        seed: of the training.
        data: what it learns from.
        tune: what chooses parameters first; ``None`` if nothing does.
        labels: the datasets whose cells wait for it; it is trained only if one of them is pending.
            ``None`` where it is wanted for its own sake.
        place: in a sweep, the swept value and the seed, such as ``beta 1e-4, seed 0``.
        supervised_on: the dataset that a supervised method learns from; empty for others.
    """

    method: type[Method]
    params: Params
    seed: int
    data: CheckData
    tune: Tune | None = None
    labels: tuple[str, ...] | None = None
    place: str = ""
    supervised_on: str = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        who = named(self.method.info.name, self.supervised_on)
        return f"train {who}, {self.place or f'seed {self.seed}'}"

    @property
    def key(self) -> str:
        """What identifies it: a sweep trains a method with several parameters."""
        return f"{self.name}, {short_hash(self.params.model_dump(mode='json'))}"


@dataclass(frozen=True, slots=True)
class Evaluate(_Job):
    """Score one dataset once with a detector, and write all of its cells that are pending.

    Attributes:
        data: the data.
        train: what makes the detector.
        label: the dataset.
    """

    data: CheckData
    train: Train
    label: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        who = named(self.train.method.info.name, self.train.supervised_on)
        return f"evaluate {who}, seed {self.train.seed}, on {self.label}"

    @property
    def key(self) -> str:
        """What identifies it."""
        return f"{self.train.key}, on {self.label}"


@dataclass(frozen=True, slots=True)
class EvaluatePart(_Job):
    """Score and measure some scans of an evaluation that several workers share.

    It is in no plan: where there are several workers, an evaluation is divided once its data and
    its detector are there.

    Attributes:
        whole: the evaluation.
        first: the first of the scans, counted from 0 in the dataset's order.
        last: one behind the last.
    """

    whole: Evaluate
    first: int
    last: int

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.whole.name}, scans {self.first + 1} to {self.last}"

    @property
    def key(self) -> str:
        """What identifies it."""
        return f"{self.whole.key}, scans {self.first} to {self.last}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """What the whole evaluation needs, which itself comes after its parts."""
        return self.whole.needs


@dataclass(frozen=True, slots=True)
class Measure(_Job):
    """Measure a detector on healthy people that it did not learn from, for a sweep.

    Attributes:
        data: the data.
        train: what makes the detector.
    """

    data: CheckData
    train: Train

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"measure {self.train.place}"

    @property
    def key(self) -> str:
        """What identifies it."""
        return f"{self.train.key}, measured"


@dataclass(frozen=True, slots=True)
class EvaluateMaps(_Job):
    """Read the anomaly maps that another program made of one dataset, and write their cells.

    Attributes:
        maps: the maps.
        tests: what prepares the dataset.
        data: what checks it beside the training dataset, whose healthy validation scans have maps
            too; ``None`` without those.
    """

    maps: MadeElsewhere
    tests: Prepare
    data: CheckData | None = None

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"evaluate {self.maps.title} on {self.tests.source.label}"


Job = (
    FindFiles
    | Prepare
    | CheckData
    | Tune
    | Train
    | Evaluate
    | EvaluatePart
    | Measure
    | EvaluateMaps
)


def in_order(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Return jobs and all that they need: each once, and after what it needs."""
    found: dict[str, Job] = {}

    def add(job: Job) -> None:
        if job.key not in found:
            for need in job.needs:
                add(need)
            found[job.key] = job

    for job in jobs:
        add(job)
    return tuple(found.values())
