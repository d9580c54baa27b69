"""Facts about the simulated datasets: age, disease, scanners, splits, lesion loads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from uad_bench.dataset import Split
from uad_bench.errors import UadBenchError
from uad_bench.phantom.contrast import Contrast
from uad_bench.phantom.scanner import Scanner

Disease = Literal["healthy", "sclerosis", "vascular", "tumour"]

_PHILIPS: Final = Scanner((1.5, 0.9, 0.9), 1.5, contrast=Contrast(0.06, 1.24))
_VERIO: Final = Scanner((1.5, 0.9, 0.9), 1.5, contrast=Contrast(0.05, 1.27), noise=(0.02, 0.04))


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """One simulated dataset.

    Attributes:
        name: as on the command line.
        disease: what its patients have.
        age: mean and standard deviation in years (the paper's Table 1 where it says).
        scanners: one per site, taken in turn.
        splits: how many subjects the published dataset has for train, validation and test.
        load_ml: median, least and largest lesion load, where it is drawn.
        sessions: time points of subjects 1, 2, ...; the last number repeats.
        raters: how many masks a scan has.
    """

    name: str
    disease: Disease
    age: tuple[float, float]
    scanners: tuple[Scanner, ...]
    splits: tuple[int, int, int]
    load_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sessions: tuple[int, ...] = (1,)
    raters: int = 1

    def session_count(self, subject: int) -> int:
        """How many time points a subject has."""
        return self.sessions[min(subject, len(self.sessions)) - 1]

    def without_disease(self) -> DatasetSpec:
        """Healthy people of the same ages, from the same scanners."""
        return replace(
            self, name=f"{self.name}-healthy", disease="healthy", load_ml=(0.0, 0.0, 0.0)
        )


DATASETS: Final[dict[str, DatasetSpec]] = {
    spec.name: spec
    for spec in (
        DatasetSpec("hi", "healthy", (69, 4), (_PHILIPS,), (125, 15, 23)),
        DatasetSpec(
            "mslub",
            "sclerosis",
            (39, 10),
            (Scanner((0.8, 0.47, 0.47), 1.0, contrast=Contrast(0.05, 1.22), noise=(0.03, 0.06)),),
            (0, 0, 30),
            load_ml=(10, 0.3, 50),
        ),
        DatasetSpec(
            "msisbi",
            "sclerosis",
            (44, 10),
            (Scanner((2.2, 0.82, 0.82), 2.2, contrast=Contrast(0.06, 1.22)),),
            (0, 0, 5),
            load_ml=(9, 1, 45),
            sessions=(4, 4, 5, 4),
            raters=2,
        ),
        DatasetSpec("msi", "sclerosis", (32, 10), (_PHILIPS,), (0, 0, 48), load_ml=(7, 0.3, 50)),
        DatasetSpec(
            "wmh",
            "vascular",
            (70, 9),
            (
                Scanner((3.0, 0.95, 0.96), 3.0, "Utrecht", Contrast(0.07, 1.21)),
                Scanner((3.0, 1.0, 1.0), 3.0, "Singapore", Contrast(0.05, 1.29), (0.02, 0.04)),
                Scanner((1.2, 1.0, 1.0), 1.2, "Amsterdam", Contrast(0.10, 1.17), (0.035, 0.06)),
            ),
            (0, 0, 60),
            load_ml=(12, 1, 60),
        ),
        DatasetSpec("gbi", "tumour", (61, 20), (_VERIO,), (0, 0, 94)),
        DatasetSpec(
            "brats",
            "tumour",
            (60, 9),
            (
                Scanner((5.0, 0.9, 0.9), 1.0, contrast=Contrast(0.10, 1.15)),
                Scanner((3.0, 1.0, 1.0), 1.0, contrast=Contrast(0.08, 1.19)),
                Scanner((1.0, 1.0, 1.0), 1.0, contrast=Contrast(0.06, 1.23), noise=(0.03, 0.06)),
            ),
            (0, 0, 285),
        ),
    )
}
"""Every simulated dataset by name. Ages that Table 1 does not give are those of its disease."""


def split_of(subject: int, splits: tuple[int, int, int]) -> Split:
    """The split of a subject, the same whatever the number of subjects.

    The first three subjects open the splits that the dataset has; after them each subject goes
    where the shares of ``splits`` are furthest from met, so that every beginning of the dataset
    is divided as the whole.
    """
    names: tuple[Split, Split, Split] = ("train", "validation", "test")
    total = sum(splits)
    have = [0, 0, 0]
    chosen = 0
    for number in range(1, subject + 1):
        unopened = [i for i in range(3) if splits[i] and not have[i]]
        missing = [number * splits[i] / total - have[i] for i in range(3)]
        chosen = unopened[0] if unopened else missing.index(max(missing))
        have[chosen] += 1
    return names[chosen]


def dataset_spec(name: str) -> DatasetSpec:
    """Look up a simulated dataset.

    Raises:
        UadBenchError: there is none of this name.
    """
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise UadBenchError(f"no simulated dataset '{name}'; choose from {known}")
    return DATASETS[name]
