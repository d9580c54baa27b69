"""How often the interval of a difference between two methods holds the truth.

Prints the Markdown tables of docs/studies/comparisons.md: coverage and mean width of the intervals
of `uad-bench compare`, and of the bootstrap that it could have taken instead. Patients and
trainings are simulated and seeded; the same command prints the same tables.

    OMP_NUM_THREADS=1 python -m studies.comparisons [--samples 1000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from studies.coverage import PATIENTS, patients
from uad_bench.evaluation.scores.pooling import pseudo_values
from uad_bench.evaluation.statistics.comparison import Paired, paired_difference
from uad_bench.evaluation.statistics.intervals import Interval

Values = NDArray[np.float64]

SIZES = (4, 6, 10, 20)
DRAWS = 400

STUDIES = ((1, 1), (1, 2), (1, 3), (1, 5), (3, 3))
"""Datasets, and seeds of each method."""


@dataclass(frozen=True, slots=True)
class World:
    """Standard deviations of what two methods reach, on the logit scale of a share.

    Attributes:
        middle: of the first method.
        gap: how much lower the second is.
        patient: between patients, the same for both methods.
        own: between patients, of each method for itself.
        training: between trainings of a method.
        both: of a training on a patient.
    """

    middle: float = 0.0
    gap: float = 0.5
    patient: float = 1.0
    own: float = 0.4
    training: float = 0.0
    both: float = 0.2

    def draw(
        self, rng: np.random.Generator, counts: Sequence[int], seeds: int
    ) -> tuple[Paired, ...]:
        """One study: the same trainings on every dataset."""
        trained = rng.normal(0, self.training, (2, seeds, 1))
        found = []
        for count in counts:
            shared = rng.normal(0, self.patient, count)
            tables = []
            for at, place in enumerate((self.middle, self.middle - self.gap)):
                own = rng.normal(0, self.own, count)
                noise = rng.normal(0, self.both, (seeds, count))
                tables.append(1 / (1 + np.exp(-(place + shared + own + trained[at] + noise))))
            found.append(Paired(*tables))
        return tuple(found)

    def truth(self) -> float:
        """The mean difference over all patients and trainings."""
        rng, count = np.random.default_rng(5), 2_000_000
        spread = np.sqrt(self.patient**2 + self.own**2 + self.training**2 + self.both**2)
        noise = rng.normal(0, spread, count)
        first = 1 / (1 + np.exp(-(self.middle + noise)))
        second = 1 / (1 + np.exp(-(self.middle - self.gap + noise)))
        return float((first - second).mean())


WORLDS = {
    "trainings alike": World(),
    "trainings differ a little": World(training=0.2),
    "trainings differ as patients do": World(training=0.5),
    "small values, trainings differ": World(middle=-3.0, training=0.3),
    "only single subjects differ": World(both=0.8, own=0.1),
}


def components(datasets: Sequence[Paired]) -> Interval | None:
    """The interval of `uad-bench compare`."""
    found = paired_difference(datasets)
    return None if found is None else found.interval


def bootstrap(datasets: Sequence[Paired]) -> Interval | None:
    """Percentiles of a nested bootstrap: patients within datasets, seeds within methods."""
    rng = np.random.default_rng(1)
    means = np.zeros(DRAWS)
    chosen = [
        rng.multinomial(len(table), np.full(len(table), 1 / len(table)), DRAWS) / len(table)
        for table in (datasets[0].first, datasets[0].second)
    ]
    for one in datasets:
        count = one.first.shape[1]
        people = rng.multinomial(count, np.full(count, 1 / count), DRAWS) / count
        for sign, table, seeds in zip((1, -1), (one.first, one.second), chosen, strict=True):
            means += sign * np.einsum("ds,sp,dp->d", seeds, table, people) / len(datasets)
    return Interval(*map(float, np.quantile(means, (0.025, 0.975))))


INTERVALS: dict[str, Callable[[Sequence[Paired]], Interval | None]] = {
    "Student's t, two sources": components,
    "nested bootstrap, percentiles": bootstrap,
}


def rows(samples: int, datasets: int, seeds: int) -> Iterator[tuple[str, list[str]]]:
    """Coverage in percent and mean width, by the number of patients of each dataset."""
    for title, world in WORLDS.items():
        true = world.truth()
        for name, interval in INTERVALS.items():
            rng = np.random.default_rng(len(title))
            yield (
                f"{title}: {name}",
                [
                    _cell(
                        [
                            interval(world.draw(rng, [size] * datasets, seeds))
                            for _ in range(samples)
                        ],
                        true,
                    )
                    for size in SIZES
                ],
            )


def pooled_rows(samples: int) -> Iterator[tuple[str, list[str]]]:
    """Coverage for pooled average precision and maximum Dice, one training of each method."""
    kinds = list(PATIENTS.items())
    for (name, kind), (other, weaker) in pairwise(kinds):
        rng = np.random.default_rng(len(name))
        true = np.subtract(
            *(pseudo_values(patients(rng, 4000, one)).mean(axis=1) for one in (kind, weaker))
        )
        found: list[list[list[Interval | None]]] = [[[] for _ in SIZES] for _ in range(2)]
        for at, size in enumerate(SIZES):
            for _ in range(samples):
                one, two = (pseudo_values(patients(rng, size, k)) for k in (kind, weaker))
                for which in range(2):
                    pair = Paired(one[which][None], two[which][None])
                    found[which][at].append(components([pair]))
        for which, title in enumerate(("AUPRC", "max Dice")):
            cells = [_cell(some, float(true[which])) for some in found[which]]
            yield f"pooled {title}, {name} and {other}", cells


def _cell(found: Sequence[Interval | None], true: float) -> str:
    made = [one for one in found if one is not None]
    covered = 100 * float(np.mean([one.low <= true <= one.high for one in made]))
    width = float(np.mean([one.high - one.low for one in made]))
    return f"{covered:.1f} ({width:.2f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000, help="simulated studies per number")
    samples = parser.parse_args().samples
    for datasets, seeds in STUDIES:
        words = "1 dataset" if datasets == 1 else f"{datasets} datasets"
        trained = "1 seed" if seeds == 1 else f"{seeds} seeds"
        print(f"\n| {words}, {trained} | {' | '.join(map(str, SIZES))} |")
        print(f"|---|{'--:|' * len(SIZES)}")
        for name, cells in rows(samples, datasets, seeds):
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\n| pooled voxels | {' | '.join(map(str, SIZES))} |\n|---|{'--:|' * len(SIZES)}")
    for name, cells in pooled_rows(samples // 2):
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
