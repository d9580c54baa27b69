"""How often a 95 % interval over subjects holds the truth, measured on simulated subjects.

Prints the Markdown tables of docs/studies/intervals.md: coverage and mean width of the intervals
that uad-bench prints, and the coverage of the methods that it could have taken instead. Everything
is simulated and seeded; the same command prints the same tables.

    OMP_NUM_THREADS=1 python -m studies.coverage [--samples 10000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from uad_bench.evaluation.scores.histograms import (
    ScoreHistogram,
    average_precision,
    dice_curve,
    max_dice,
)
from uad_bench.evaluation.scores.tally import Tally
from uad_bench.evaluation.statistics.intervals import (
    Interval,
    Scale,
    auroc_interval,
    best_mean_interval,
    mean_interval,
    pooled_intervals,
    ratio_interval,
)

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Values]
Ends = tuple[Values, Values]

SIZES = (4, 5, 6, 8, 10, 15, 20, 30)
BELOW = (2, 3)


def _sometimes_zero(draw: Draw, zeros: float) -> Draw:
    return lambda rng, shape: draw(rng, shape) * (rng.random(shape) >= zeros)


def _beta(a: float, b: float) -> Draw:
    return lambda rng, shape: rng.beta(a, b, shape)


MEANS: dict[str, tuple[Scale, Draw, float]] = {
    "Beta(2, 2)": ("share", _beta(2, 2), 0.5),
    "Beta(5, 2)": ("share", _beta(5, 2), 5 / 7),
    "Beta(1/2, 1/2)": ("share", _beta(0.5, 0.5), 0.5),
    "Beta(1, 20)": ("share", _beta(1, 20), 1 / 21),
    "Beta(2, 2), 20 % zeros": ("share", _sometimes_zero(_beta(2, 2), 0.2), 0.4),
    "Beta(5, 2), 20 % zeros": ("share", _sometimes_zero(_beta(5, 2), 0.2), 0.8 * 5 / 7),
    "normal, sd a tenth of the mean": (
        "amount",
        lambda rng, shape: rng.normal(10.0, 1.0, shape),
        10.0,
    ),
    "log-normal, σ 0.5": ("amount", lambda rng, shape: rng.lognormal(0, 0.5, shape), np.exp(1 / 8)),
    "log-normal, σ 1": ("amount", lambda rng, shape: rng.lognormal(0, 1.0, shape), np.exp(1 / 2)),
    "exponential": ("amount", lambda rng, shape: rng.exponential(1.0, shape), 1.0),
}
"""Scale, draws and true mean of a number that each subject has."""


# --- what could have been taken ---------------------------------------------------------------


def student(values: Values) -> Ends:
    """Student's t."""
    count = values.shape[1]
    reach = stats.t.ppf(0.975, count - 1) * values.std(axis=1, ddof=1) / sqrt(count)
    return values.mean(axis=1) - reach, values.mean(axis=1) + reach


def johnson(values: Values) -> Ends:
    """Student's t, moved by the skewness (Johnson 1978)."""
    count, middle = values.shape[1], values.mean(axis=1)
    third = ((values - middle[:, None]) ** 3).sum(axis=1) * count / ((count - 1) * (count - 2))
    shift = third / (6 * count * values.var(axis=1, ddof=1))
    low, high = student(values)
    return low + shift, high + shift


def hall(values: Values) -> Ends:
    """Student's t with the skewness removed by a cubic (Hall 1992)."""
    count, middle, sd = values.shape[1], values.mean(axis=1), values.std(axis=1, ddof=1)
    skewness = stats.skew(values, axis=1)
    third = np.where(np.abs(skewness) < 1e-6, 1e-6, skewness) / 3
    ends = []
    for sign in (1, -1):
        reach = sign * stats.t.ppf(0.975, count - 1) / sqrt(count)
        cubic = (np.cbrt(1 + 3 * third * (reach - third / (2 * count))) - 1) / third
        ends.append(middle - sd * cubic)
    return ends[0], ends[1]


def _bootstrap_means(values: Values) -> Values:
    count = values.shape[1]
    drawn = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count), 1000)
    means: Values = values @ drawn.T / count
    return means


def percentile(values: Values, tail: float = 0.025) -> Ends:
    """Percentiles of the bootstrap, as version 1 of the protocols took them."""
    low, high = np.quantile(_bootstrap_means(values), (tail, 1 - tail), axis=1)
    return low, high


def expanded_percentile(values: Values) -> Ends:
    """Percentiles further out, by Student's t (Hesterberg 2015)."""
    count = values.shape[1]
    tail = stats.norm.cdf(-sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1))
    return percentile(values, float(tail))


def bca(values: Values) -> Ends:
    """Bias-corrected and accelerated bootstrap (Efron 1987)."""
    means, middle = _bootstrap_means(values), values.mean(axis=1, keepdims=True)
    below = (means < middle).mean(axis=1) + (means == middle).mean(axis=1) / 2
    bias = stats.norm.ppf(np.clip(below, 1e-3, 1 - 1e-3))
    away = middle - values
    bend = (away**3).sum(axis=1) / (6 * (away**2).sum(axis=1) ** 1.5)
    ends = []
    for quantile in stats.norm.ppf((0.025, 0.975)):
        level = stats.norm.cdf(bias + (bias + quantile) / (1 - bend * (bias + quantile)))
        ends.append(np.array([np.quantile(m, q) for m, q in zip(means, level, strict=True)]))
    return ends[0], ends[1]


def bootstrap_t(values: Values) -> Ends:
    """Studentised bootstrap (Efron 1982); endless where a draw has no spread."""
    count = values.shape[1]
    drawn = np.random.default_rng(1).integers(0, count, (1000, count))
    lows, highs = [], []
    for row in values:
        again = row[drawn]
        off, sd = again.mean(axis=1) - row.mean(), again.std(axis=1, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.nan_to_num(off / sd, nan=0.0, posinf=np.inf, neginf=-np.inf)
        low, high = np.quantile(t, (0.025, 0.975), method="inverted_cdf")
        lows.append(row.mean() - high * row.std(ddof=1))
        highs.append(row.mean() - low * row.std(ddof=1))
    return np.array(lows), np.array(highs)


OTHERS: dict[str, Callable[[Values], Ends]] = {
    "percentile bootstrap (version 1)": percentile,
    "BCa bootstrap": bca,
    "expanded percentile bootstrap": expanded_percentile,
    "Student's t": student,
    "Johnson's t": johnson,
    "Hall's transformed t": hall,
    "bootstrap-t": bootstrap_t,
}


# --- statistics of pooled voxels --------------------------------------------------------------

EDGES = np.linspace(-2.0, 6.0, 48)
VOXELS = 300_000
PATIENTS = {
    "small lesions": {"size": 1.0, "share": 0.01, "contrast": 2.5, "spread": 0.7, "noise": 0.2},
    "tumours": {"size": 0.6, "share": 0.06, "contrast": 2.0, "spread": 0.7, "noise": 0.2},
    "faint lesions": {"size": 1.0, "share": 0.01, "contrast": 1.2, "spread": 0.5, "noise": 0.3},
    "other scanners": {"size": 0.8, "share": 0.02, "contrast": 3.0, "spread": 1.0, "noise": 0.6},
}
"""Patients with a log-normal lesion volume, and normal scores around a mean of their own."""


def patients(
    rng: np.random.Generator, count: int, kind: Mapping[str, float]
) -> list[ScoreHistogram]:
    """Score histograms over 48 levels of ``count`` simulated patients."""
    size = VOXELS * kind["share"] * rng.lognormal(0, kind["size"], count)[:, None]
    offset = rng.normal(0, kind["noise"], count)[:, None]
    contrast = rng.normal(kind["contrast"], kind["spread"], count)[:, None]
    width = rng.lognormal(0, 0.2, count)[:, None]
    lesion = np.rint(size * stats.norm.sf(EDGES - offset - contrast))
    healthy = np.rint(VOXELS * stats.norm.sf((EDGES - offset) / width))
    return [
        ScoreHistogram(*(Tally.of(-np.diff(one, append=0).astype(np.int64)) for one in (h, v)))
        for h, v in zip(healthy, lesion, strict=True)
    ]


def _curves(people: Iterable[ScoreHistogram]) -> Values:
    return np.array(
        [dice_curve(one, np.arange(1, len(EDGES))) for one in people if one.lesion_voxels]
    )


def pooled_rows(samples: int) -> Iterable[tuple[str, list[str]]]:
    """Coverage of the pooled and searched numbers, a line for each number and kind of patients."""
    for name, kind in PATIENTS.items():
        rng = np.random.default_rng(len(name))
        crowd = patients(rng, 50_000, kind)
        pool = ScoreHistogram.pooled(crowd)
        best = max_dice(pool)
        assert best is not None
        truth = (average_precision(pool), best[0], float(_curves(crowd).mean(axis=0).max()))
        found: list[list[list[Interval | None]]] = [[], [], []]
        for count in SIZES:
            drawn = [patients(rng, count, kind) for _ in range(samples)]
            pooled = [pooled_intervals(people) for people in drawn]
            found[0].append([one.average_precision for one in pooled])
            found[1].append([one.max_dice for one in pooled])
            found[2].append(
                [best_mean_interval(partial(iter, _curves(people))) for people in drawn]
            )
        for title, true, by_size in zip(
            ("`paper` auprc", "`paper` max_dice", "`strict` max_dice"), truth, found, strict=True
        ):
            assert true is not None
            yield f"{title}, {name}", [_cell(some, true) for some in by_size]


def ratio_rows(samples: int) -> Iterable[tuple[str, list[str]]]:
    """Coverage of the ratios of sums: distance per slice, and slices with a distance."""
    cells: tuple[list[str], list[str]] = ([], [])
    rng = np.random.default_rng(7)
    for count in SIZES:
        shape = (samples, count)
        shown = 1.0 + rng.poisson(15 * rng.lognormal(0, 0.5, shape))
        share = rng.beta(4, 2, shape)
        both = rng.binomial(shown.astype(np.int64), share).astype(np.float64)
        distance = both * rng.lognormal(2.5, 0.5, shape)
        true = np.exp(2.5 + 0.125)
        pairs = list(zip(distance, both, shown, strict=True))
        cells[0].append(_cell([ratio_interval(d, b, "amount") for d, b, _ in pairs], true))
        cells[1].append(_cell([ratio_interval(b, s, "share") for _, b, s in pairs], 2 / 3))
    yield "`paper` hd", cells[0]
    yield "`paper` hd_coverage", cells[1]


# --- areas under the ROC curve of a few people ------------------------------------------------

GROUPS = ((4, 4), (6, 6), (10, 4), (4, 10), (10, 10), (20, 10), (30, 30))
DETECTORS: dict[str, tuple[Draw, Draw]] = {
    "no difference": (
        lambda rng, shape: rng.normal(0, 1, shape),
        lambda rng, shape: rng.normal(0, 1, shape),
    ),
    "one standard deviation": (
        lambda rng, shape: rng.normal(1, 1, shape),
        lambda rng, shape: rng.normal(0, 1, shape),
    ),
    "two standard deviations": (
        lambda rng, shape: rng.normal(2, 1, shape),
        lambda rng, shape: rng.normal(0, 1, shape),
    ),
    "log-normal": (
        lambda rng, shape: rng.lognormal(1.5, 1.2, shape),
        lambda rng, shape: rng.lognormal(0, 0.6, shape),
    ),
    "three patients in ten silent": (
        lambda rng, shape: rng.normal(2.5, 1, shape) * (rng.random(shape) < 0.7),
        lambda rng, shape: rng.normal(0, 0.5, shape),
    ),
}
"""Scores of patients and of healthy people."""


def area_rows(samples: int) -> Iterable[tuple[str, list[str]]]:
    """Coverage of the area under the ROC curve, by the numbers of patients and healthy people."""
    for name, (sick, well) in DETECTORS.items():
        rng = np.random.default_rng(len(name))
        crowd = np.sort(well(rng, (200_000,)))
        true = float(np.searchsorted(crowd, sick(rng, (200_000,))).mean()) / len(crowd)
        cells = []
        for patients, healthy in GROUPS:
            one, other = sick(rng, (samples, patients)), well(rng, (samples, healthy))
            areas = (one[:, :, None] > other[:, None]).mean(axis=(1, 2))
            known = {a: auroc_interval(float(a), patients, healthy) for a in np.unique(areas)}
            cells.append(_cell([known[area] for area in areas], true))
        yield name, cells


# --- tables -----------------------------------------------------------------------------------


def mean_rows(samples: int) -> Iterable[tuple[str, list[str]]]:
    """Coverage and mean width of the interval of a mean."""
    for name, (scale, draw, true) in MEANS.items():
        rng = np.random.default_rng(len(name))
        drawn = (draw(rng, (samples, count)) for count in SIZES)
        yield name, [_cell([mean_interval(list(v), scale) for v in x], true) for x in drawn]


def other_rows(samples: int) -> Iterable[tuple[str, list[str]]]:
    """The lowest and the highest coverage over all shares and amounts, for each other method."""
    sizes = (*BELOW, *SIZES)
    covered: dict[str, list[list[float]]] = {name: [[] for _ in sizes] for name in OTHERS}
    for title, (_, draw, true) in MEANS.items():
        rng = np.random.default_rng(len(title))
        for at, count in enumerate(sizes):
            values = draw(rng, (samples, count))
            values = values[values.max(axis=1) > values.min(axis=1)]
            for name, method in OTHERS.items():
                if count > 2 or name not in {"Johnson's t", "bootstrap-t"}:
                    low, high = method(values)
                    covered[name][at].append(100 * float(((low <= true) & (true <= high)).mean()))
    for name, by_size in covered.items():
        yield name, [f"{min(some):.0f} to {max(some):.0f}" if some else "" for some in by_size]


def _cell(found: Sequence[Interval | None], true: float) -> str:
    """Coverage in percent and mean width, over the samples that have an interval."""
    made = [one for one in found if one is not None]
    covered = 100 * float(np.mean([one.low <= true <= one.high for one in made]))
    width = float(np.mean([one.high - one.low for one in made]))
    return f"{covered:.1f} ({width:.2f})"


def _print(title: str, sizes: Sequence[object], rows: Iterable[tuple[str, list[str]]]) -> None:
    print(f"\n| {title} | {' | '.join(map(str, sizes))} |")
    print(f"|---|{'--:|' * len(sizes)}")
    for name, cells in rows:
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000, help="simulated studies per number")
    samples = parser.parse_args().samples
    _print("mean over subjects", SIZES, mean_rows(samples))
    _print("ratio of sums", SIZES, ratio_rows(samples))
    _print("pooled or searched", SIZES, pooled_rows(samples // 5))
    groups = [f"{patients} and {healthy}" for patients, healthy in GROUPS]
    _print("`patient_auroc`, patients and healthy", groups, area_rows(samples))
    _print("another method for means", (*BELOW, *SIZES), other_rows(samples // 10))


if __name__ == "__main__":
    main()
