"""Tuning a method of a run: short trainings, compared on healthy validation scans."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uad_bench.cells import short_hash
from uad_bench.evaluation.latent import ssim
from uad_bench.method import (
    EnsembleMethod,
    FitContext,
    Method,
    Params,
    ReconstructionMethod,
    SearchRange,
    member_field,
    members_of,
    search_space,
)
from uad_bench.runner.detectors.params import given_params, shared_params, tunable, validated
from uad_bench.runner.detectors.scoring import checked as valid
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.events import Started
from uad_bench.study_record import Objective, Searched, StudyMetric, StudyRecord, write_study
from uad_bench.tuning.choice import choose, pareto_front
from uad_bench.tuning.painted import AUPRC, painted_auprc
from uad_bench.tuning.search import Checked, Search, search
from uad_bench.tuning.storage import Database, Journal, Storage

TRIAL_SHARE = 8
"""A tuning trial takes an eighth of a full training's steps."""

SSIM_LOSS = "1 - SSIM"


@dataclass(frozen=True, slots=True)
class Tuning:
    """What tuning a method came to.

    Attributes:
        params: the parameters to train with.
        found: its own study, or that of the method whose training it shares; ``None`` if there was
            nothing to tune, and of an ensemble.
        studies: every study behind it: of an ensemble, those of its members.
    """

    params: Params
    found: StudyRecord | None = None
    studies: tuple[StudyRecord, ...] = ()


def tune(
    trainer: Trainer, method: type[Method], params: Params, kept: Collection[str] | None = None
) -> Tuning:
    """Choose the tunable parameters on healthy validation data.

    A method that shares another's training takes what is found for that one, and an ensemble what
    is found for each of its members.

    Args:
        trainer: trains the trials.
        method: the method.
        params: its parameters before.
        kept: those that stay as they are; by default those that the user set.
    """
    if kept is None:
        kept = given_params(trainer.config.param, method)
    if issubclass(method, EnsembleMethod):
        parts = {
            name: tune(trainer, one, getattr(params, name))
            for one in method.members
            for name in (member_field(one),)
        }
        chosen = params.model_copy(update={name: one.params for name, one in parts.items()})
        return Tuning(chosen, studies=tuple(s for one in parts.values() for s in one.studies))
    if method.trained_as is not None:
        base = tune(trainer, method.trained_as, shared_params(method.trained_as, params), kept)
        whole = validated(method, params.model_dump() | base.params.model_dump())
        return Tuning(whole, base.found, base.studies)
    if not (space := _space(trainer, method, kept)):
        return Tuning(params)
    study = _study(trainer, method, params, space)
    return Tuning(validated(method, params.model_dump() | study.params), study, (study,))


def forget_studies(
    trainer: Trainer, method: type[Method], params: Params, kept: Collection[str] | None = None
) -> None:
    """Remove the journals that :func:`tune` would go on with; a team's database is left alone.

    Args:
        trainer: trains the trials.
        method: the method.
        params: its parameters before.
        kept: those that stay as they are; by default those that the user set.
    """
    if kept is None:
        kept = given_params(trainer.config.param, method)
    if issubclass(method, EnsembleMethod):
        for one in method.members:
            forget_studies(trainer, one, getattr(params, member_field(one)))
    elif method.trained_as is not None:
        base = method.trained_as
        forget_studies(trainer, base, shared_params(base, params), kept)
    elif space := _space(trainer, method, kept):
        name = _name(trainer, method, params, _search(trainer, method, params, space))
        _journal(trainer, name).unlink(missing_ok=True)


def _space(trainer: Trainer, method: type[Method], kept: Collection[str]) -> dict[str, SearchRange]:
    """The ranges of the parameters that are tuned."""
    if not (trainer.config.tune and method.objective):
        return {}
    return {name: one for name, one in search_space(method.Params).items() if name not in kept}


def studied(method: type[Method]) -> Iterator[type[Method]]:
    """Yield the methods of the studies that tuning a method comes to."""
    if method.trained_as is not None:
        yield from studied(method.trained_as)
    elif members := members_of(method):
        for member in members:
            yield from studied(member)
    elif tunable(method):
        yield method


def metrics_of(method: type[Method], objective: Objective) -> tuple[StudyMetric, ...]:
    """The numbers by which an objective compares trials of a method, fidelity first."""
    if objective == "painted":
        return (StudyMetric(name=AUPRC, higher_is_better=True),)
    names = method.objective
    if objective == "ssim":
        names = (SSIM_LOSS, *names[1:])
    return tuple(StudyMetric(name=name) for name in names)


def _study(
    trainer: Trainer, method: type[Method], params: Params, space: Mapping[str, SearchRange]
) -> StudyRecord:
    """Do the study, or what is left of it, and keep its record."""
    config, info = trainer.config, method.info
    metrics, wanted = metrics_of(method, config.objective), _search(trainer, method, params, space)
    name = _name(trainer, method, params, wanted)
    storage = _storage(trainer, name)

    def evaluate(place: int, chosen: Mapping[str, float], checked: Checked) -> Mapping[str, float]:
        trainer.tell(Started(f"tune {trainer.named(method)}, trial {place + 1} of {wanted.count}"))
        trial = params.model_copy(update=shortened(params) | dict(chosen))
        fitted, report = trainer.fit(method, trial, wanted.seed, checked=checked)
        return {**report.validation, **_looked_at(trainer, fitted)}

    found = search(evaluate, wanted, name, storage, lambda text: trainer.tell(Started(text)))
    finished = [trial for trial in found.trials if trial.state == "finished"]
    choice = choose(finished, metrics, wanted.default)
    study = StudyRecord(
        name=name,
        method=info.name,
        title=info.title,
        objective=config.objective,
        metrics=metrics,
        sampler=config.sampler,
        seed=wanted.seed,
        space={k: Searched(low=v.low, high=v.high, log=v.log) for k, v in space.items()},
        default=dict(wanted.default),
        trials=found.trials,
        front=pareto_front(finished, metrics),
        chosen=choice.number,
        reason=choice.reason,
        importances={k: dict(v) for k, v in found.importances.items()},
        simulated=trainer.healthy.simulated,
    )
    write_study(trainer.results.tuning, study)
    return study


def _search(
    trainer: Trainer, method: type[Method], params: Params, space: Mapping[str, SearchRange]
) -> Search:
    config, fields = trainer.config, method.Params.model_fields
    default = {
        name: (int if fields[name].annotation is int else float)(getattr(params, name))
        for name in space
    }
    of_preset = method.info.presets.get(config.preset or "", {})
    first = {
        name: value
        for name, value in method.info.first_trial.items()
        if name in space and name not in of_preset
    }
    return Search(
        space,
        metrics_of(method, config.objective),
        first=default | first,
        default=default,
        trials=config.trials,
        seed=config.seeds[0],
        sampler=config.sampler,
    )


def _name(trainer: Trainer, method: type[Method], params: Params, wanted: Search) -> str:
    """The study's name, which says what its trials are: code, data, what is fixed, what is asked.

    The search ranges are not part of it: a study with others under its name is refused.
    """
    base = params.model_dump(mode="json", exclude=set(wanted.space))
    asked = [
        trainer.config.objective,
        wanted.sampler,
        wanted.seed,
        dict(wanted.planned[0]),
        dict(wanted.default),
    ]
    identity = [base, sorted(wanted.space), *asked, *trainer.stands_on(method)]
    return f"{method.info.name}-{short_hash(identity)}"


def _storage(trainer: Trainer, name: str) -> Storage:
    """Where the study is: the team's database, or a journal in the results folder."""
    if trainer.config.storage is not None:
        return Database(trainer.config.storage.get_secret_value())
    return Journal(_journal(trainer, name))


def _journal(trainer: Trainer, name: str) -> Path:
    return trainer.results.tuning / f"{name}.log"


def looks_at_scans(objective: Objective) -> bool:
    """Whether an objective scores the healthy validation scans after each trial's training."""
    return objective != "reconstruction"


def _looked_at(trainer: Trainer, fitted: Method) -> Mapping[str, float]:
    """What the objective measures besides what a training reports of itself."""
    if trainer.config.objective == "painted":
        seed, validation = trainer.config.seeds[0], trainer.healthy.split("validation")
        fitted.calibrate(validation, FitContext(seed=seed, device=trainer.device))
        found = painted_auprc(
            lambda slices: valid(fitted, "score", fitted.score(slices), slices),
            validation.scans(),
            seed=seed,
        )
        return {AUPRC: found}
    if trainer.config.objective == "ssim":
        assert isinstance(fitted, ReconstructionMethod)  # the plan lets in no other
        likeness = [
            ssim(
                np.asarray(scan.image),
                valid(fitted, "reconstruct", fitted.reconstruct(scan), scan)[:, None],
                np.asarray(scan.brain),
            )
            for scan in trainer.healthy.split("validation").scans()
        ]
        return {SSIM_LOSS: 1.0 - float(np.mean(likeness))}
    return {}


def shortened(params: Params) -> dict[str, int]:
    """Return fewer steps for a trial, where the method counts steps."""
    steps = getattr(params, "steps", None)
    return {"steps": max(1, int(steps) // TRIAL_SHARE)} if steps is not None else {}
