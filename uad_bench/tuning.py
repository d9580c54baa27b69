"""Tuning of a method's parameters on healthy validation data, with Optuna.

Optuna searches for a low mean of the method's validation metrics (L1 and KL for the autoencoders,
section 4 of the paper), each divided by its value in the first trial, which is always the
method's published setting. The choice puts fidelity first: among the trials whose first metric
(L1) is close to the best, the method's own defaults are kept if they are there, else the lowest
objective wins. A sum alone would choose collapse, because KL falls without limit when a network
ignores its latent. No label takes part.

A study is a journal file: a run that was killed goes on after the last finished trial and draws
the same parameters that it would have drawn, because the sampler is seeded by the number of
finished trials.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import SearchRange
from uad_bench.system.disk import write_whole
from uad_bench.system.locks import held

_TINY = 1e-12

TOLERANCE = 0.1
"""Trials are short and noisy: a first metric within this share of the best counts as equal."""

Evaluate = Callable[[int, Mapping[str, float]], Mapping[str, float]]
"""Given the trial's number and parameters, train briefly and return validation metrics."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a study found.

    Attributes:
        params: the best trial's parameters.
        objective: its objective; the first trial has 1 by definition.
        trials: finished trials, diverged ones included.
        diverged: trials whose loss was not finite.
    """

    params: dict[str, float]
    objective: float
    trials: int
    diverged: int


def tune(
    evaluate: Evaluate,
    space: Mapping[str, SearchRange],
    *,
    objective: tuple[str, ...],
    first: Mapping[str, float],
    default: Mapping[str, float],
    trials: int,
    seed: int,
    journal: Path,
) -> Tuned:
    """Run ``trials`` trials, or those that the journal still lacks.

    Args:
        evaluate: trains with the given parameters and returns validation metrics.
        space: the search range of each parameter.
        objective: the metrics that count, lower is better; fidelity comes first.
        first: the published setting, always the first trial.
        default: the method's own defaults, the second trial where they differ; a parameter whose
            default is an int is tuned in whole numbers.
        trials: how many trials in all.
        seed: seed of the sampler.
        journal: Optuna journal file; created if missing. A last line that was cut off is dropped.

    Raises:
        DivergenceError: if every trial diverged.
        UadBenchError: the journal is damaged, or another process tunes into it.
    """
    distributions = {name: _distribution(span, default[name]) for name, span in space.items()}
    fixed = [dict(first)] + ([dict(default)] if dict(default) != dict(first) else [])
    with held(journal.with_name(f".{journal.name}.lock")), _quiet():
        study = _open_study(journal)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
        while (number := len(_finished(study))) < trials:
            if number < len(fixed):
                params, asked = fixed[number], None
            else:
                study.sampler = optuna.samplers.TPESampler(seed=seed + number)
                asked = study.ask(distributions)
                params = asked.params
            attributes: dict[str, Any] = {}
            value = None
            try:
                metrics = dict(evaluate(number, params))
                value = _relative(study, metrics, objective)
                attributes["validation"] = metrics
            except DivergenceError:
                attributes["diverged"] = True
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            if asked is None:
                study.add_trial(
                    create_trial(
                        state=state,
                        params=params,
                        distributions=distributions,
                        value=value,
                        user_attrs=attributes,
                    )
                )
            else:
                for key, attribute in attributes.items():
                    asked.set_user_attr(key, attribute)
                study.tell(asked, value, state=state)
        finished = _finished(study)
    done = [trial for trial in finished if trial.value is not None]
    if not done:
        raise DivergenceError(
            f"every tuning trial diverged: narrow the search ranges or train with --no-tune "
            f"(journal {journal})"
        )
    best = _choice(done, objective[0], default)
    return Tuned(
        params={name: best.params[name] for name in space},
        objective=float(best.value or 0.0),
        trials=len(finished),
        diverged=len(finished) - len(done),
    )


class _NoLock(JournalFileOpenLock):
    """No lock around each line of a journal: the whole study is locked.

    Optuna's own locks need symbolic links or are left behind by a kill, and are waited for without
    end where the journal's path is relative.
    """

    def acquire(self) -> bool:
        """Take nothing."""
        return True

    def release(self) -> None:
        """Give nothing back."""


def _open_study(journal: Path) -> optuna.Study:
    """Open the study of a journal, or begin it."""
    _drop_cut_line(journal)
    backend = JournalFileBackend(str(journal), _NoLock(str(journal)))
    try:
        return optuna.create_study(
            study_name=journal.stem, storage=JournalStorage(backend), load_if_exists=True
        )
    except Exception as error:  # Optuna reads the lines as they come, and fails in many ways
        if isinstance(error, OSError):
            raise
        raise UadBenchError(
            f"{journal}: its lines are no whole study ({type(error).__name__}): delete it, and the "
            "next run tunes again"
        ) from error


def _drop_cut_line(journal: Path) -> None:
    """Drop a last line that a full disk or a power loss cut off; its trial is done again.

    Raises:
        UadBenchError: a line before it is damaged.
    """
    if not journal.is_file():
        return
    *lines, rest = journal.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not _is_entry(line):
            raise UadBenchError(
                f"{journal}, line {number} of {len(lines)}: damaged: delete the file, and the next "
                "run tunes again"
            )
    if rest:
        write_whole(journal, b"".join(line + b"\n" for line in lines))


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _distribution(span: SearchRange, default: float) -> BaseDistribution:
    """Where a parameter is drawn from: whole numbers where its default is one."""
    if isinstance(default, int):
        return IntDistribution(int(span.low), int(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)


def _choice(done: list[FrozenTrial], metric: str, default: Mapping[str, float]) -> FrozenTrial:
    """The defaults, if no trial is clearly better in ``metric``; else the lowest objective."""
    lowest = min(trial.user_attrs["validation"][metric] for trial in done)
    limit = lowest * (1.0 + TOLERANCE)
    close = [trial for trial in done if trial.user_attrs["validation"][metric] <= limit]
    kept = [trial for trial in close if trial.params == dict(default)]
    return min(kept or close, key=lambda trial: (trial.value or 0.0, trial.number))


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that completed or diverged; those that a kill cut short do not count."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.COMPLETE or "diverged" in trial.user_attrs
    ]


def _relative(study: optuna.Study, metrics: Mapping[str, float], names: tuple[str, ...]) -> float:
    """Mean of the metrics relative to the first completed trial, which is 1 by definition."""
    completed = [trial for trial in _finished(study) if trial.value is not None]
    reference = completed[0].user_attrs["validation"] if completed else metrics
    return sum(metrics[name] / max(reference[name], _TINY) for name in names) / len(names)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging every trial."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
