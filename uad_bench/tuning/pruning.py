"""Which trials are hopeless and end early.

With one metric, Optuna's median pruner decides. It knows one objective only, so with two it is a
rule of dominance: a trial ends at a check where more than half of the trials that came as far were
better in every metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import TrialState

from uad_bench.study_record import StudyMetric

STARTUP = 4
"""Trials that come to their end before any is stopped."""

CHECKS = "checks"
"""A trial's attribute: its metrics by the step of each check."""


def make_pruner() -> optuna.pruners.BasePruner:
    """Return Optuna's part of the rule."""
    return optuna.pruners.MedianPruner(n_startup_trials=STARTUP)


def is_hopeless(
    trial: optuna.Trial, metrics: Sequence[StudyMetric], step: int, values: Mapping[str, float]
) -> bool:
    """Write down a check of a trial, and say whether it should end there.

    Args:
        trial: the trial.
        metrics: what trials are compared by; without all of them in a check, none is stopped.
        step: the step of the check.
        values: the metrics of the check.
    """
    if any(metric.name not in values for metric in metrics):
        return False
    own = trial.user_attrs.get(CHECKS, {})
    trial.set_user_attr(CHECKS, {**own, str(step): dict(values)})
    if len(metrics) == 1:
        trial.report(values[metrics[0].name], step)
        return trial.should_prune()
    others = trial.study.get_trials(deepcopy=False)
    if sum(other.state == TrialState.COMPLETE for other in others) < STARTUP:
        return False
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    seen = [
        other.user_attrs[CHECKS][str(step)]
        for other in others
        if other.state in ended and str(step) in other.user_attrs.get(CHECKS, {})
    ]
    better = sum(all(one.cost(other) < one.cost(values) for one in metrics) for other in seen)
    return better * 2 > len(seen)
