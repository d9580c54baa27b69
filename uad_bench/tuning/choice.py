"""Which trial of a study is chosen: fidelity first, and the defaults unless something is better.

Trials are close whose first metric is within :data:`TOLERANCE` of the best. The method's own
defaults are chosen if they are close. Else it is the close trial with the lowest mean of all
metrics, each relative to the first trial, which is on the Pareto front. A sum alone would choose
collapse, because KL falls without limit when a network ignores its latent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uad_bench.study_record import StudyMetric, Trial

TOLERANCE = 0.1
"""Trials are short and noisy: a first metric within this share of the best counts as equal."""

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Choice:
    """The number of a trial, and why it is chosen, in one sentence without a full stop."""

    number: int
    reason: str


def choose(
    finished: Sequence[Trial], metrics: Sequence[StudyMetric], default: Mapping[str, float]
) -> Choice:
    """Choose one of the finished trials.

    Args:
        finished: at least one.
        metrics: the metrics that count; fidelity comes first.
        default: the method's own parameters.
    """
    fidelity = metrics[0]
    best = min(fidelity.cost(trial.metrics) for trial in finished)
    limit = best + TOLERANCE * abs(best)
    close = [trial for trial in finished if fidelity.cost(trial.metrics) <= limit]
    if kept := [trial for trial in close if trial.params == dict(default)]:
        worse = f"no trial is better in {fidelity.name} by more than {TOLERANCE:.0%}"
        return Choice(kept[0].number, f"the defaults, because {worse}")
    reference = finished[0].metrics

    def mean(trial: Trial) -> tuple[float, int]:
        parts = [
            metric.cost(trial.metrics) / max(abs(reference[metric.name]), _TINY)
            for metric in metrics
        ]
        return sum(parts) / len(parts), trial.number

    chosen = min(close, key=mean)
    if len(metrics) == 1:
        return Choice(chosen.number, f"the best {fidelity.name}")
    names = " and ".join(metric.name for metric in metrics)
    return Choice(
        chosen.number,
        f"the lowest mean of {names} among {len(close)} within {TOLERANCE:.0%} of the best "
        f"{fidelity.name}",
    )


def pareto_front(finished: Sequence[Trial], metrics: Sequence[StudyMetric]) -> tuple[int, ...]:
    """The numbers of the trials that no other one beats: none is as good in all, better in one."""
    costs = {
        trial.number: tuple(metric.cost(trial.metrics) for metric in metrics) for trial in finished
    }
    return tuple(
        number
        for number, own in costs.items()
        if not any(
            other != own and all(o <= s for o, s in zip(other, own, strict=True))
            for other in costs.values()
        )
    )
