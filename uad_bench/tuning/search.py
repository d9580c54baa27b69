"""The trials of a study: each one a short training, drawn by a seeded sampler."""

from __future__ import annotations

import contextlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.storages import BaseStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import SearchRange
from uad_bench.study_record import USUAL_TRIALS, SamplerName, StudyMetric, Trial
from uad_bench.tuning.grid import grid
from uad_bench.tuning.pruning import CHECKS, is_hopeless, make_pruner
from uad_bench.tuning.storage import Storage

FEWEST_FOR_IMPORTANCES = 5
"""Finished trials below which importances say nothing."""

_LOOK_S = 1.0
_VALIDATION, _DIVERGED, _PLANNED, _SEARCH = "validation", "diverged", "planned", "uad-bench search"


class _SurplusError(Exception):
    """Another process began the same trial a moment before."""


Checked = Callable[[int, Mapping[str, float]], None]
"""Is told the metrics of each check of a training, and may end it by an exception."""

Evaluate = Callable[[int, Mapping[str, float], Checked], Mapping[str, float]]
"""Given a trial's place from 0, parameters and where checks are told: trains, returns metrics."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a study looks for, and how.

    Attributes:
        space: the search range of each parameter.
        metrics: what trials are compared by: one or two; fidelity comes first.
        first: the published setting, always the first trial.
        default: the method's own defaults, the second trial where they differ; a parameter whose
            default is an int is tuned in whole numbers.
        trials: how many trials in all; ``None``: every point of a grid, else the usual number.
        seed: what every draw follows from.
        sampler: how parameters are drawn after that.
    """

    space: Mapping[str, SearchRange]
    metrics: tuple[StudyMetric, ...]
    first: Mapping[str, float]
    default: Mapping[str, float]
    trials: int | None
    seed: int
    sampler: SamplerName = "tpe"

    @property
    def planned(self) -> tuple[Mapping[str, float], ...]:
        """The trials that are known beforehand, in order."""
        known = [self.first, self.default]
        known += grid(self.space, self.default) if self.sampler == "grid" else ()
        return tuple(one for at, one in enumerate(known) if one not in known[:at])

    @property
    def count(self) -> int:
        """How many trials there are in all."""
        if self.sampler == "grid":
            return min(self.trials or len(self.planned), len(self.planned))
        return self.trials or USUAL_TRIALS


@dataclass(frozen=True, slots=True)
class Found:
    """The trials of a study that ended, and what moves each metric."""

    trials: tuple[Trial, ...]
    importances: Mapping[str, Mapping[str, float]]


def search(
    evaluate: Evaluate,
    wanted: Search,
    name: str,
    storage: Storage,
    say: Callable[[str], None] = lambda _: None,
) -> Found:
    """Do the trials that the study still lacks.

    Args:
        evaluate: trains with the given parameters and returns validation metrics.
        wanted: the search.
        name: of the study in its storage.
        storage: where the study is kept.
        say: told, where other processes work on the last trials, that this one waits for them.

    Raises:
        DivergenceError: if every trial diverged.
        UadBenchError: the storage is damaged or fails, another process holds it, or its study is
            another search.
    """

    def make(name: str, kept: BaseStorage) -> optuna.Study:
        up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        directions = [up if metric.higher_is_better else down for metric in wanted.metrics]
        return optuna.create_study(
            study_name=name,
            storage=kept,
            directions=directions,
            pruner=make_pruner(),
            load_if_exists=True,
        )

    waits = False
    with _quiet(), storage.opened(name, make) as study:
        _refuse_other_search(study, wanted, storage)
        while (ended := len(_ended(study))) < wanted.count:
            going = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING]
            if ended + len(going) < wanted.count:
                _do_one(study, evaluate, wanted, shared=storage.shared)
            else:
                if not waits:
                    say(f"{name}: waits for the last trials, which other processes do")
                waits = True
                time.sleep(_LOOK_S)
                with _no_warning():
                    fail_stale_trials(study)
        trials = tuple(_recorded(trial, at) for at, trial in enumerate(_ended(study), 1))
        if not any(trial.state == "finished" for trial in trials):
            raise DivergenceError(
                f"every tuning trial diverged: narrow the search ranges or train with --no-tune "
                f"(study {name} in {storage})"
            )
        return Found(trials, _importances(study, wanted))


def _do_one(study: optuna.Study, evaluate: Evaluate, wanted: Search, *, shared: bool) -> None:
    """Do one trial, the next planned one where some are left."""
    distributions = {k: _distribution(v, wanted.default[k]) for k, v in wanted.space.items()}

    def objective(trial: optuna.Trial) -> Sequence[float]:
        before = [t for t in study.get_trials(deepcopy=False)[: trial.number] if _counts(t)]
        place, planned = len(before), trial.user_attrs.get(_PLANNED)
        if place >= wanted.count or planned in {t.user_attrs.get(_PLANNED, -1) for t in before}:
            raise _SurplusError
        study.sampler = _sampler(wanted, place, shared=shared)
        params = {name: _drawn(trial, name, one) for name, one in distributions.items()}

        def checked(step: int, values: Mapping[str, float]) -> None:
            if is_hopeless(trial, wanted.metrics, step, values):
                raise optuna.TrialPruned

        try:
            metrics = dict(evaluate(place, params, checked))
            values = [metrics[metric.name] for metric in wanted.metrics]
            if not all(map(math.isfinite, values)):
                raise DivergenceError(f"metrics that are not finite: {metrics}")
        except DivergenceError:
            trial.set_user_attr(_DIVERGED, True)
            raise
        trial.set_user_attr(_VALIDATION, metrics)
        return values

    trials = study.get_trials(deepcopy=False)
    if not any(trial.state == TrialState.WAITING for trial in trials):
        done = {trial.user_attrs.get(_PLANNED) for trial in trials if _counts(trial)}
        left = [at for at in range(len(wanted.planned)) if at not in done]
        if left:
            study.enqueue_trial(dict(wanted.planned[left[0]]), user_attrs={_PLANNED: left[0]})
    study.optimize(objective, n_trials=1, catch=(DivergenceError, _SurplusError))


def _refuse_other_search(study: optuna.Study, wanted: Search, storage: Storage) -> None:
    """Refuse a study of other ranges or metrics under the same name, or note what this one is.

    Raises:
        UadBenchError: naming what differs.
    """
    own = {
        **{name: _in_words(span) for name, span in wanted.space.items()},
        "metrics": ", ".join(metric.name for metric in wanted.metrics),
        "sampler": wanted.sampler,
        "seed": str(wanted.seed),
    }
    known = study.user_attrs.get(_SEARCH)
    if known is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(_SEARCH, json.dumps(own))
        with _no_warning():
            study.set_metric_names([metric.name for metric in wanted.metrics])
        return
    other = json.loads(known) if known is not None else {}
    differs = [
        f"{name} {other.get(name, 'not')} there, {own.get(name, 'not')} here"
        for name in dict.fromkeys((*own, *other))
        if own.get(name) != other.get(name)
    ]
    if differs:
        raise UadBenchError(
            f"study {study.study_name} in {storage} is of another search ({'; '.join(differs)}): "
            "delete it there, or name another --storage"
        )


def _in_words(span: SearchRange) -> str:
    return f"{span.low:g} to {span.high:g}{' (log)' if span.log else ''}"


def _sampler(wanted: Search, place: int, *, shared: bool) -> optuna.samplers.BaseSampler:
    """What draws the trial at a place: the same for every process, and after any kill."""
    seed = (wanted.seed + place) % 2**32  # numpy takes no larger one
    if wanted.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, constant_liar=shared)
    return optuna.samplers.RandomSampler(seed=seed)


def _distribution(span: SearchRange, default: float) -> BaseDistribution:
    """Where a parameter is drawn from: whole numbers where its default is one."""
    if isinstance(default, int):
        return IntDistribution(int(span.low), int(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)


def _drawn(trial: optuna.Trial, name: str, one: BaseDistribution) -> float:
    if isinstance(one, IntDistribution):
        return trial.suggest_int(name, one.low, one.high, log=one.log)
    one = cast(FloatDistribution, one)
    return trial.suggest_float(name, one.low, one.high, log=one.log)


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial has a place: one that a kill cut short has none."""
    return trial.state != TrialState.FAIL or _DIVERGED in trial.user_attrs


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    going = (TrialState.RUNNING, TrialState.WAITING)
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if _counts(trial) and trial.state not in going]


def _recorded(trial: FrozenTrial, number: int) -> Trial:
    params = {name: trial.params[name] for name in trial.params}
    if trial.state == TrialState.COMPLETE:
        return Trial(number=number, params=params, metrics=trial.user_attrs[_VALIDATION])
    if trial.state == TrialState.PRUNED:
        checks = trial.user_attrs.get(CHECKS, {})
        metrics = checks[max(checks, key=int)] if checks else {}
        return Trial(number=number, params=params, metrics=metrics, state="stopped")
    return Trial(number=number, params=params, state="diverged")


def _importances(study: optuna.Study, wanted: Search) -> dict[str, dict[str, float]]:
    """The share of each metric's variance that each parameter explains, by Optuna's fANOVA."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(wanted.space) < 2 or len(finished) < FEWEST_FOR_IMPORTANCES:
        return {}
    return {
        metric.name: get_param_importances(
            study,
            evaluator=FanovaImportanceEvaluator(seed=wanted.seed),
            target=lambda trial, at=at: trial.values[at],  # type: ignore[misc]
        )
        for at, metric in enumerate(wanted.metrics)
        if len({trial.values[at] for trial in finished}) > 1
    }


@contextlib.contextmanager
def _no_warning() -> Iterator[None]:
    """Keep Python from warning that a function of Optuna may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging every trial."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
