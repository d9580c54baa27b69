"""What the jobs of a plan say. They hold no data: names, parameters and what they depend on."""

from __future__ import annotations

from dataclasses import dataclass

from uad_bench.cells import short_hash
from uad_bench.method import Method, Params
from uad_bench.runner.data.sources import Sources


@dataclass(frozen=True, slots=True)
class Prepare:
    """Simulate and prepare every dataset, and find them fit for what is trained on them.

    It is one job, because what it refuses is between datasets, such as a scan that is trained on
    and tested.

    Attributes:
        sources: the datasets.
        trained: the methods with their parameters, by name.
    """

    sources: Sources
    trained: tuple[tuple[str, Params], ...]

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "prepare the data"

    @property
    def key(self) -> str:
        """What identifies it: a plan has one."""
        return "prepare"

    @property
    def needs(self) -> tuple[()]:
        """Nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Tune:
    """Choose a method's tunable parameters on healthy validation scans.

    Attributes:
        method: the method.
        params: its parameters before.
        data: what it learns from.
    """

    method: type[Method]
    params: Params
    data: Prepare

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"tune {self.method.info.name}"

    @property
    def key(self) -> str:
        """What identifies it: a method is tuned once in a plan."""
        return self.name

    @property
    def needs(self) -> tuple[Prepare]:
        """The data."""
        return (self.data,)


@dataclass(frozen=True, slots=True)
class Train:
    """Train one detector, or find it trained.

    Attributes:
        method: the method.
        params: its parameters, before tuning where it is tuned.
        seed: of the training.
        data: what it learns from.
        tune: what chooses parameters first; ``None`` if nothing does.
        labels: the datasets whose cells wait for it; it is trained only if one of them is pending.
        place: in a sweep, the swept value and the seed, such as ``beta 1e-4, seed 0``; it is
            trained in any case.
    """

    method: type[Method]
    params: Params
    seed: int
    data: Prepare
    tune: Tune | None = None
    labels: tuple[str, ...] = ()
    place: str = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"train {self.method.info.name}, {self.place or f'seed {self.seed}'}"

    @property
    def key(self) -> str:
        """What identifies it: a sweep trains a method with several parameters."""
        return f"{self.name}, {short_hash(self.params.model_dump(mode='json'))}"

    @property
    def needs(self) -> tuple[Prepare] | tuple[Prepare, Tune]:
        """The data, and the tuning."""
        return (self.data,) if self.tune is None else (self.data, self.tune)


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Score one dataset once with a detector, and write all of its cells that are pending.

    Attributes:
        train: what makes the detector.
        label: the dataset.
    """

    train: Train
    label: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"evaluate {self.train.method.info.name}, seed {self.train.seed}, on {self.label}"

    @property
    def key(self) -> str:
        """What identifies it."""
        return f"{self.train.key}, on {self.label}"

    @property
    def needs(self) -> tuple[Prepare, Train]:
        """The data and the detector."""
        return self.train.data, self.train


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure a detector on healthy people that it did not learn from, for a sweep.

    Attributes:
        train: what makes the detector.
    """

    train: Train

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"measure {self.train.place}"

    @property
    def key(self) -> str:
        """What identifies it."""
        return f"{self.train.key}, measured"

    @property
    def needs(self) -> tuple[Prepare, Train]:
        """The data and the detector."""
        return self.train.data, self.train


Job = Prepare | Tune | Train | Evaluate | Measure
