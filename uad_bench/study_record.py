"""The record of a tuning study: every trial, what was chosen and why; a file that anybody reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.system.disk import write_whole

Objective = Literal["reconstruction", "ssim", "painted"]
"""What trials are compared by, all on healthy validation scans."""

SamplerName = Literal["tpe", "grid", "random"]

USUAL_TRIALS = 3
"""Trials of a study, where nobody says how many and it has no grid."""

OBJECTIVES: Mapping[Objective, str] = {
    "reconstruction": "reconstruction",
    "ssim": "SSIM of the reconstruction",
    "painted": "detection of painted lesions",
}
"""Objectives in words."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Searched(_Record):
    """The range in which a parameter was searched."""

    low: float
    high: float
    log: bool


class StudyMetric(_Record):
    """A number by which trials are compared."""

    name: str
    higher_is_better: bool = False

    def cost(self, metrics: Mapping[str, float]) -> float:
        """Its value among some metrics, turned so that lower is better."""
        return -metrics[self.name] if self.higher_is_better else metrics[self.name]


class Trial(_Record):
    """One short training.

    Attributes:
        number: its place in the study, from 1.
        params: what was tried.
        metrics: on healthy validation slices: of its end; of its last check where it was stopped;
            empty where it diverged.
        state: whether it came to its end, was stopped as hopeless, or diverged.
    """

    number: int
    params: dict[str, float]
    metrics: dict[str, float] = Field(default_factory=dict)
    state: Literal["finished", "stopped", "diverged"] = "finished"


class StudyRecord(_Record):
    """A study as it ended.

    Attributes:
        name: of the study in its storage.
        method: the method that was tuned.
        title: its title.
        objective: what trials were compared by.
        metrics: the numbers of the objective; the first one is fidelity.
        sampler: how parameters were drawn.
        seed: what every draw follows from.
        space: where each parameter was searched.
        default: the method's own parameters.
        trials: all that ended, in order.
        front: numbers of the finished trials that no other one beats in every metric.
        chosen: number of the trial whose parameters are trained with.
        reason: why, in one sentence.
        importances: by metric, the share of its variance that each parameter explains; empty after
            too few trials.
        simulated: whether the healthy people are simulated.
    """

    name: str
    method: str
    title: str
    objective: Objective
    metrics: tuple[StudyMetric, ...]
    sampler: SamplerName
    seed: int
    space: dict[str, Searched]
    default: dict[str, float]
    trials: tuple[Trial, ...]
    front: tuple[int, ...]
    chosen: int
    reason: str
    importances: dict[str, dict[str, float]]
    simulated: bool

    @property
    def params(self) -> dict[str, float]:
        """The chosen parameters."""
        return self.trials[self.chosen - 1].params

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials that came to their end."""
        return tuple(trial for trial in self.trials if trial.state == "finished")

    @property
    def heading(self) -> str:
        """What was tuned, by what, in how many trials; one line."""
        count = len(self.trials)
        trials = "1 trial" if count == 1 else f"{count} trials"
        kinds = {state: sum(t.state == state for t in self.trials) for state in _ENDED_EARLY}
        early = [f"{number} {state}" for state, number in kinds.items() if number]
        ended = f" ({', '.join(early)})" if early else ""
        return f"{self.method}: tuned by {OBJECTIVES[self.objective]}, {trials}{ended}"

    def lines(self) -> Iterator[str]:
        """What was chosen and why, for a screen."""
        yield self.heading
        yield f"  chosen: {values(self.params)}"
        yield f"  why: {self.reason}"
        for metric, shares in self.importances.items():
            parts = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
            yield f"  what moves {metric}: {parts}"


_ENDED_EARLY = ("stopped", "diverged")


def values(params: Mapping[str, float]) -> str:
    """Parameters in words, such as ``beta 1e-05, snr 16``."""
    return ", ".join(f"{name} {value:.4g}" for name, value in params.items())


def write_study(folder: Path, study: StudyRecord) -> Path:
    """Write the record of a study, and return its file."""
    file = folder / f"{study.name}.json"
    write_whole(file, (study.model_dump_json(indent=1) + "\n").encode())
    return file


def stored_studies(folder: Path) -> tuple[StudyRecord, ...]:
    """All studies of a folder, by name; none where there is none.

    Raises:
        UadBenchError: a file is no record of a study.
    """
    return tuple(_read(file) for file in sorted(folder.glob("*.json")))


def readable_studies(folder: Path) -> tuple[StudyRecord, ...]:
    """The studies of a folder that can be read."""
    found = []
    for file in sorted(folder.glob("*.json")):
        with suppress(UadBenchError, OSError):
            found.append(_read(file))
    return tuple(found)


def _read(file: Path) -> StudyRecord:
    try:
        return StudyRecord.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UadBenchError(
            f"{file} is no record of a tuning study ({where}: {first['msg']}): delete it; the next "
            "`uad-bench tune` writes it again"
        ) from None
