"""A sweep over one parameter: what was measured on healthy people, as a table and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from uad_bench.cells import DatasetUse
from uad_bench.dataset import Split
from uad_bench.method import FloatArray
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.tables.arrange import training_title
from uad_bench.report.tables.formats.spreadsheet import inert
from uad_bench.report.tables.notes import people_in_words

if TYPE_CHECKING:
    import pandas as pd

Value = bool | int | float | str

DICE = "Dice "
"""What the names of the Dice measures begin with; the tissue follows."""

_MANY_NATS = 100.0


@dataclass(frozen=True, slots=True)
class Training:
    """One training of a sweep.

    Attributes:
        value: of the swept parameter.
        seed: of the training.
        measures: by name, as tables print it: L1, KL, SSIM, and Dice of each tissue; empty where
            the training failed.
        detector: key of the stored detector; empty where the training failed.
        simulated_prior: whether its tissue prior is an atlas of phantoms.
        fallback_prior: whether its tissue prior is the template's.
        reason: why it failed.
    """

    value: Value
    seed: int
    measures: Mapping[str, float]
    detector: str = ""
    simulated_prior: bool = False
    fallback_prior: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ValueView:
    """What a detector of one value made of the shown slice.

    Attributes:
        reconstruction: ``[H, W]`` in [0, 1].
        tissues: latent maps ``[4, H, W]`` in [0, 1], ``None`` where the method has none.
    """

    reconstruction: FloatArray
    tissues: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The slice that the picture shows.

    Attributes:
        scan: name of its scan.
        image: ``[H, W]`` in [0, 1].
        brain: ``[H, W]``.
        tissues: true maps ``[4, H, W]`` in [0, 1], ``None`` where they are not known.
        views: by value, the first seed's that trained.
    """

    scan: str
    image: FloatArray
    brain: NDArray[np.bool_]
    tissues: FloatArray | None
    views: Mapping[Value, ValueView]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sweep:
    """A method trained once per value of one parameter and seed, and measured on healthy people.

    Attributes:
        method: the method's name.
        title: its title.
        param: the swept parameter.
        values: in the order of tables.
        log: whether the values belong on a logarithmic axis.
        trainings: value by value, seed by seed.
        learned: what the detectors learned from.
        measured: the people that L1, SSIM and Dice are measured on.
        split: their split.
        shown: the slice of the picture.
    """

    method: str
    title: str
    param: str
    values: tuple[Value, ...]
    log: bool
    trainings: tuple[Training, ...]
    learned: DatasetUse
    measured: DatasetUse
    split: Split
    shown: Shown

    @property
    def heading(self) -> str:
        """What it is, in one line, with the word simulated where data or prior are."""
        mark = " (simulated)" if self.simulated or self.simulated_prior else ""
        return f"{self.title}: sweep of {self.param}{mark}"

    @property
    def simulated(self) -> bool:
        """Whether the people are phantoms."""
        return self.learned.simulated

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values, where they are numbers; nothing where they are switches or choices."""
        found = tuple(float(v) for v in self.values if not isinstance(v, bool | str))
        return found if len(found) == len(self.values) else ()

    @property
    def simulated_prior(self) -> bool:
        """Whether the tissue prior of any training is an atlas of phantoms."""
        return any(one.simulated_prior for one in self.trainings)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in order."""
        return tuple(dict.fromkeys(one.seed for one in self.trainings))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all measures, in the order of tables."""
        return tuple(dict.fromkeys(name for one in self.trainings for name in one.measures))

    @property
    def failed(self) -> tuple[Training, ...]:
        """The trainings that failed."""
        return tuple(one for one in self.trainings if one.reason)

    def over_seeds(self, value: Value, name: str) -> tuple[float, ...]:
        """A measure of every seed of one value that trained."""
        return tuple(
            one.measures[name]
            for one in self.trainings
            if one.value == value and name in one.measures
        )

    def notes(self) -> Iterator[str]:
        """What a reader of the table must know, and why trainings failed."""
        people = people_in_words(self.measured.subjects)
        title = training_title(self.measured, BERCEA_2022)
        yield (
            f"Means over {people} of {title}, split {self.split}; the "
            f"detectors learned from {people_in_words(self.learned.subjects)} of split train."
        )
        if self.split == "validation":
            yield "There is no healthy test split: these people also chose the state that is kept."
        if "KL" in self.names:
            yield "KL is training's own, on its healthy validation slices."
        if self.simulated_prior:
            yield "Simulated: the tissue prior, an atlas of phantoms."
        if any(one.fallback_prior for one in self.trainings):
            yield (
                "Tissue prior: the MNI152 template's maps (fallback), because the training data "
                "have tissue maps of fewer than two subjects."
            )
        listed = ", ".join(map(str, self.seeds))
        several = len(self.seeds) > 1
        yield f"Seeds: {listed}; mean (lowest to highest)." if several else f"Seed: {listed}."
        for one in self.failed:
            yield f"{self.param} {shown(one.value)}, seed {one.seed} failed: {one.reason}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per training, with the columns of ``sweep.csv``."""
        import pandas as pd

        return pd.DataFrame(list(_lines(self)), columns=list(_columns(self)))

    def __repr__(self) -> str:
        count = f"{len(self.trainings)} training{'' if len(self.trainings) == 1 else 's'}"
        return f"{self.heading}, {count}{f', {len(self.failed)} failed' if self.failed else ''}"


def sweep_rows(sweep: Sweep) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the headings and rows of the table, one row per value."""
    names = sweep.names or ("L1",)  # where every training failed, one column says so
    trained = {one.value for one in sweep.trainings if not one.reason}
    rows = []
    for value in sweep.values:
        gap = "-" if value in trained else "failed"
        cells = (_cell(name, sweep.over_seeds(value, name), gap) for name in names)
        rows.append((shown(value), *cells))
    return (sweep.param, *names), rows


def sweep_csv(sweep: Sweep) -> str:
    """Return one line per training, at full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_columns(sweep))
    writer.writerows(map(inert, line) for line in _lines(sweep))
    return file.getvalue()


def _columns(sweep: Sweep) -> tuple[str, ...]:
    """The names of what is said of a training."""
    about = ("method", "param", "value", "seed", "state", "dataset", "split", "subjects")
    measures = (name.lower().replace(" ", "_") for name in sweep.names)
    return (*about, "simulated", "simulated_prior", *measures, "detector", "reason")


def _lines(sweep: Sweep) -> Iterator[tuple[object, ...]]:
    """Yield what is said of each training; a measure is ``None`` where the training failed."""
    for one in sweep.trainings:
        yield (
            *(sweep.method, sweep.param, one.value, one.seed),
            "failed" if one.reason else "done",
            *(sweep.measured.dataset, sweep.split, sweep.measured.subjects),
            "simulated" if sweep.simulated else "",
            "simulated" if sweep.simulated_prior else "",
            *(one.measures.get(name) for name in sweep.names),
            one.detector,
            one.reason,
        )


def shown(value: Value) -> str:
    """A value as tables print it."""
    return str(value) if isinstance(value, bool | str) else f"{value:g}"


def _cell(name: str, found: tuple[float, ...], gap: str) -> str:
    """The mean, and the range over the seeds where there are several."""
    if not found:
        return gap
    texts = [_number(name, value) for value in (float(np.mean(found)), min(found), max(found))]
    return texts[0] if len(found) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


def _number(name: str, value: float) -> str:
    if name == "KL":
        return f"{value:.0f}" if value >= _MANY_NATS else f"{value:.3g}"
    return f"{value:.4f}" if name == "L1" else f"{value:.3f}"
