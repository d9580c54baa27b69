"""Comparisons as lines of a table, and as sentences that need no statistics to be read."""

from __future__ import annotations

from uad_bench.evaluation.protocol import MetricInfo
from uad_bench.report.statistics.comparisons import LEVEL, Comparison, Comparisons
from uad_bench.report.statistics.listing import Listing, Value
from uad_bench.report.tables.model import Style, format_number
from uad_bench.report.tables.notes import people_in_words


def comparison_listing(comparisons: Comparisons) -> Listing:
    """Write comparisons as a listing."""
    metric, found = comparisons.chosen.metric, comparisons.found
    pooled = metric.pooled is not None
    return Listing(
        name="compare",
        caption=_caption(comparisons),
        head=(
            "Dataset",
            "Against",
            "n",
            "Value",
            "Other",
            "Difference",
            "95 % interval",
            "P(better)",
            *(() if pooled else ("Effect",)),
            "p (Holm)",
            *(() if pooled else ("Least p",)),
        ),
        words=2,
        lines=tuple(_line(one, metric) for one in found),
        sentences=tuple(sentence(one, metric, comparisons.tests) for one in found),
        notes=(*_legend(comparisons), *comparisons.notes),
        values=tuple(_values(one, metric) for one in found),
    )


def sentence(one: Comparison, metric: MetricInfo, tests: int) -> str:
    """Say in words what a comparison comes to.

    Args:
        one: the comparison.
        metric: what was compared.
        tests: how many p-values the correction is for.
    """
    where = f"On {one.place}" if one.dataset else f"Over {one.place}"
    values = (
        f"{one.first} reaches {metric.title} {_number(one.values[0], metric)} and {one.second} "
        f"{_number(one.values[1], metric)}"
    )
    over = "pooled" if metric.pooled else "means"
    said = f"{where}, {values} ({over} over {people_in_words(one.subjects)})"
    if one.wins is not None:
        said += f"; {one.first} is better for {one.wins[0]} of them, {one.second} for {one.wins[1]}"
    return f"{said}. {_verdict(one, metric, tests)}"


def _verdict(one: Comparison, metric: MetricInfo, tests: int) -> str:
    """What may be claimed."""
    after = f" after correction for {tests} comparisons" if tests > 1 else ""
    if one.corrected is None:
        return "The subjects are too few, or too alike, to say which is better."
    if one.wins == (0, 0):
        return "No subject has a difference."
    if one.least is not None and one.least > LEVEL:
        return (
            "These subjects are too few to claim a difference: even if one method were better for "
            f"all of them, p would be {_p(one.least)}{after}. It takes {one.needed} or more with a "
            "difference."
        )
    if one.corrected > LEVEL:
        return f"This does not show which of the two is better (p {_equals(one.corrected)}{after})."
    on_average = (one.difference > 0) == (metric.better == "higher")
    ahead = on_average if one.effect is None else one.effect > 0
    better, other = (one.first, one.second) if ahead else (one.second, one.first)
    for_whom = "" if ahead == on_average else " for most subjects, although not on average"
    claim = (
        f"{better} is better than {other}{for_whom}: if they were equally good, chance alone would "
        f"seldom set them so far apart (p {_equals(one.corrected)}{after})."
    )
    interval = one.interval
    if ahead == on_average and interval is not None and interval.low <= 0 <= interval.high:
        claim += (
            " But p is about these trainings on these subjects. The interval of the mean "
            f"difference holds 0: with others, {other} may be ahead on average."
        )
    return claim


def _caption(comparisons: Comparisons) -> str:
    chosen = comparisons.chosen
    metric, first = chosen.metric, chosen.columns[0].label
    unit = f" in {metric.unit}" if metric.unit else ""
    others = "one other method" if len(chosen.columns) == 2 else "other methods"
    return (
        f"{chosen.caption} {metric.title}{unit}, {metric.better} is better: {first} against "
        f"{others}."
    )


def _legend(comparisons: Comparisons) -> tuple[str, ...]:
    """What the columns are."""
    chosen, tests = comparisons.chosen, comparisons.tests
    first = chosen.columns[0].label
    correction = (
        "not corrected, because it is the only one"
        if tests == 1
        else f"after Holm's correction for {tests} comparisons"
    )
    texts = [
        f"Difference: {first} minus the other; over several datasets, the mean of theirs. "
        f"Interval, and P(better), the probability that {first} is better on average: Student's t "
        "with other patients and other trainings as separate sources of spread."
    ]
    if chosen.metric.pooled:
        texts.append(
            f"p: Student's t test on the jackknife pseudo-values of subjects, {correction}."
        )
    else:
        texts.append(
            f"p: Wilcoxon's signed-rank test within datasets, {correction}. Least p: the smallest "
            "that these subjects allow, likewise. Effect: rank-biserial correlation, from 1 "
            "(better for every subject) to -1."
        )
    return tuple(texts)


def _line(one: Comparison, metric: MetricInfo) -> tuple[str, ...]:
    pooled = metric.pooled is not None
    interval = (
        "–"
        if one.interval is None
        else f"[{_signed(one.interval.low, metric)}, {_signed(one.interval.high, metric)}]"
    )
    return (
        one.place,
        one.second,
        str(one.subjects),
        *(_number(value, metric) for value in one.values),
        _signed(one.difference, metric),
        interval,
        "–" if one.probability is None else _probability(one.probability),
        *(() if pooled else ("–" if one.effect is None else f"{one.effect:+.2f}",)),
        _p(one.corrected),
        *(() if pooled else (_p(one.least),)),
    )


def _values(one: Comparison, metric: MetricInfo) -> dict[str, Value]:
    return {
        "dataset": one.dataset or "all",
        "metric": metric.name,
        "first": one.first,
        "second": one.second,
        "subjects": one.subjects,
        "dropped": one.dropped,
        "first_seeds": one.seeds[0],
        "second_seeds": one.seeds[1],
        "first_value": one.values[0],
        "second_value": one.values[1],
        "first_better": None if one.wins is None else one.wins[0],
        "second_better": None if one.wins is None else one.wins[1],
        "difference": one.difference,
        "low": None if one.interval is None else one.interval.low,
        "high": None if one.interval is None else one.interval.high,
        "probability_better": one.probability,
        "effect": one.effect,
        "p": one.p,
        "p_holm": one.corrected,
        "p_least": one.least,
    }


def _style(metric: MetricInfo) -> Style:
    return "distance" if metric.unit else "ratio"


def _number(value: float, metric: MetricInfo) -> str:
    return format_number(value, _style(metric))


def _signed(value: float, metric: MetricInfo) -> str:
    return f"{value:+.1f}" if metric.unit else f"{value:+.3f}"


def _probability(value: float) -> str:
    return "<0.01" if value < 0.01 else ">0.99" if value > 0.99 else f"{value:.2f}"


def _p(value: float | None) -> str:
    return "–" if value is None else format_number(value, "p")


def _equals(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {_p(value)}"
