"""The rules of the method contract, tried on a toy dataset."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.scores.ordering import ordering
from uad_bench.method import (
    EnsembleMethod,
    FitContext,
    FitReport,
    Method,
    MethodInfo,
    Need,
    Params,
    ReconstructionMethod,
    Slices,
    member_faults,
    member_field,
    members_of,
)
from uad_bench.plugins.conformance.findings import Findings, Stop, Violation, check_score
from uad_bench.plugins.conformance.kills import Kills
from uad_bench.plugins.conformance.params import check_params
from uad_bench.plugins.conformance.toy import ToyDataset, copied, toy_dataset
from uad_bench.plugins.declarations import name_fault

SEED = 7


def check_method(cls: type[Method]) -> list[Violation]:
    """Try a method on the toy dataset and return every rule of its contract that it breaks.

    A method whose parameters have a field ``steps`` is trained for a handful of steps.
    """
    findings = Findings(Path(inspect.getfile(cls)))
    with suppress(Stop):
        _check_metadata(cls, findings)
        params = check_params(cls, findings)
        _check_constructor(cls, params, findings)
        _check_behaviour(cls, params, findings)
    return findings.violations


def _check_metadata(cls: type[Method], findings: Findings) -> None:
    """Names, words and flags that tables and plans rely on."""
    info = getattr(cls, "info", None)
    if not isinstance(info, MethodInfo):
        findings.check(False, "info", f"info must be a MethodInfo, is {type(info).__name__}")
        raise Stop  # the other rules read it
    is_text = isinstance(info.name, str)
    fault = name_fault("method", info.name) if is_text else "name must be a string"
    findings.check(fault is None, "name", str(fault))
    title = info.title
    is_line = isinstance(title, str) and title.strip() != "" and "\n" not in title
    findings.check(is_line, "title", f"title must be one line of text, is {title!r}")
    findings.check(
        isinstance(info.citation, str), "citation", f"citation must be text, is {info.citation!r}"
    )
    findings.check(
        info.beside in {None, "all", "networks"} and (info.control or info.beside is None),
        "beside",
        f"beside must be all, networks or None, and None but for a control; is {info.beside!r}",
    )
    for flag in ("trains", "control"):
        value = getattr(info, flag)
        findings.check(isinstance(value, bool), flag, f"{flag} must be True or False, is {value!r}")
    known = set(get_args(Need))
    needs = info.needs
    is_known = isinstance(needs, frozenset) and needs <= known
    words = ", ".join(sorted(known))
    findings.check(is_known, "needs", f"needs must be a frozenset of {words}; is {needs!r}")
    objective = cls.objective
    is_words = isinstance(objective, tuple) and all(isinstance(o, str) for o in objective)
    findings.check(is_words, "objective", f"objective must be a tuple of names, is {objective!r}")
    budget, fields = cls.budget, getattr(cls.Params, "model_fields", {})
    are_fields = isinstance(budget, tuple) and all(each in fields for each in budget)
    message = f"budget must be a tuple of names of parameters, is {budget!r}"
    findings.check(are_fields, "budget", message)
    base = cls.trained_as
    if base is not None:
        is_base = base is not cls and issubclass(cls, base)
        findings.check(
            is_base and set(base.Params.model_fields) <= set(fields),
            "trained_as",
            f"trained_as must be a base class whose parameters this method has, is {base!r}",
        )
    for member in members_of(cls):
        field = fields.get(member_field(member))
        findings.check(
            field is not None and field.annotation is member.Params,
            "members",
            f"the parameters need a field `{member_field(member)}: {member.__name__}.Params`",
        )
    for fault in member_faults(cls):
        findings.check(False, "members", fault)


def _check_constructor(cls: type[Method], params: Params, findings: Findings) -> None:
    """The constructor stores its parameters and does nothing else."""
    with findings.attempt("constructor", f"{cls.__name__}(params)"):
        method = cls(params)
        default = cls()
    findings.check(
        getattr(method, "params", None) is params, "constructor", "params must be stored unchanged"
    )
    same = getattr(default, "params", None) == cls.Params()
    findings.check(same, "constructor", "without params, the defaults must be used")
    extra = sorted(set(vars(method)) - {"params"})
    findings.check(
        not extra, "constructor", f"the constructor must set params only, sets {', '.join(extra)}"
    )


def _check_behaviour(cls: type[Method], params: Params, findings: Findings) -> None:
    """Fit, score, repeat, store and restore."""
    toy, device = toy_dataset(), _device(cls, findings)
    method, report = _fit(cls, params, toy, device, findings)
    scores = [_score(method, scan, findings) for scan in toy.scans]
    faults: dict[str, Violation] = {}
    for score, scan in zip(scores, toy.scans, strict=True):
        for fault in check_score(score, scan):
            faults.setdefault(fault.rule, fault)
    findings.add(list(faults.values()))
    _check_levels(method, toy, findings)
    if isinstance(method, ReconstructionMethod):
        _check_reconstruction(method, toy.scans[0], scores[0], findings)
    again = [_score(method, scan, findings) for scan in reversed(toy.scans)]
    findings.check(
        all(map(_same, again, reversed(scores))),
        "order",
        "the score of a scan must be the same bits whatever was scored before",
    )
    kills = Kills()
    twin, told = _fit(cls, params, toy, device, findings, kills=kills)
    is_alike = _same(_score(twin, toy.scans[0], findings), scores[0])
    if kills.happened and not (is_alike and told == report):  # by the kills, or by the seed
        twin, unbroken = _fit(cls, params, toy, device, findings)
        is_alike = _same(_score(twin, toy.scans[0], findings), scores[0])
        findings.check(
            not is_alike or unbroken != report,
            "resume",
            "a training that was killed must end as one that was not: keep what changes in the "
            "players' modules or in Trainable.extra_state, and draw from turn.generator only",
        )
    findings.check(
        is_alike,
        "seed",
        "two fits with the same seed must score the same bits; draw from context.seed only",
    )
    with findings.attempt("state", "storing and restoring"):
        state = _stored(method.state())
        findings.check(
            state is not None, "state", "state() must map names to arrays of numbers or booleans"
        )
        if state is not None:
            restored = cls(params)
            restored.load(state, device)
            findings.check(
                _same(restored.score(copied(toy.scans[0])), scores[0]),
                "state",
                "a fresh instance that loads state() must score the same bits",
            )


def _device(cls: type[Method], findings: Findings) -> str:
    """The device to try the method on."""
    if "gpu" not in cls.info.needs:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    findings.check(False, "needs", "the method needs a GPU; run the check where one is")
    raise Stop


def _fit(
    cls: type[Method],
    params: Params,
    toy: ToyDataset,
    device: str,
    findings: Findings,
    *,
    kills: Kills | None = None,
) -> tuple[Method, FitReport]:
    """Fit a fresh instance, and look at its report and at what it did to its input.

    With kills, every training is killed once, and a fresh instance goes on.
    """
    train, validation = toy.slices(cls.info.needs)
    context = toy.context(cls.info.needs, SEED, device)
    if kills is not None:
        context = replace(context, checkpoint=kills)
    before = _bits(train, validation, context)
    with findings.attempt("fit", "fit"):
        method, report = _trained(partial(cls, params), train, validation, context, kills)
        notes = method.calibrate(validation, context)
    are_words = isinstance(notes, tuple) and all(isinstance(note, str) for note in notes)
    findings.check(are_words, "calibrate", f"calibrate must return a tuple of texts, not {notes!r}")
    findings.check(
        _bits(train, validation, context) == before,
        "input",
        "fit and calibrate must not modify the arrays that they are given",
    )
    known = {"params", "joined"} if isinstance(method, EnsembleMethod) else {"params"}
    odd = sorted(name for name in set(vars(method)) - known if not name.endswith("_"))
    findings.check(not odd, "fitted", f"what fit sets must end in '_'; rename {', '.join(odd)}")
    if not isinstance(report, FitReport):
        findings.check(False, "fit", f"fit must return a FitReport, not {type(report).__name__}")
        return method, report
    absent = [name for name in cls.objective if name not in report.validation]
    findings.check(not absent, "objective", f"FitReport.validation lacks {', '.join(absent)}")
    bad = [name for name, value in report.validation.items() if not np.isfinite(value)]
    findings.check(not bad, "fit", f"FitReport.validation is not finite in {', '.join(bad)}")
    return method, report


def _trained(
    make: Callable[[], Method],
    train: Slices,
    validation: Slices,
    context: FitContext,
    kills: Kills | None,
) -> tuple[Method, FitReport]:
    """Return a fitted instance: the first, or the one that went on after the last kill."""
    while True:
        method = make()
        try:
            return method, method.fit(train, validation, context)
        except KeyboardInterrupt:
            if kills is None:
                raise
            kills.begin()


def _score(method: Method, scan: Slices, findings: Findings) -> Any:
    """Score a copy of a scan, which must stay as it was."""
    given = copied(scan)
    with findings.attempt("score", "score"):
        score = method.score(given)
    is_kept = _bits(given) == _bits(scan)
    findings.check(is_kept, "input", "score must not modify the arrays that it is given")
    return score


def _check_levels(method: Method, toy: ToyDataset, findings: Findings) -> None:
    """The scores of healthy slices still rank voxels as 16-bit numbers."""
    score = _score(method, toy.validation, findings)
    if check_score(score, toy.validation):
        return  # said of the scans
    values = score[toy.validation.brain]
    for fault in ordering(values, np.ones(values.shape, np.bool_)).faults:
        findings.check(False, "levels", fault)


def _check_reconstruction(
    method: ReconstructionMethod, scan: Slices, score: Any, findings: Findings
) -> None:
    """A reconstruction looks like slices, and its residual is the score."""
    with findings.attempt("reconstruct", "reconstruct"):
        made = method.reconstruct(copied(scan))
    faults = check_score(made, scan, "reconstruction")
    findings.add(faults)
    findings.check(
        bool(faults) or not method.scores_by_residual or _same(score, np.abs(scan.image - made)),
        "residual",
        "score must be |image - reconstruct(slices)|, bit for bit",
    )


def _bits(*values: Slices | FitContext) -> list[bytes]:
    """The contents of every array a method is given, to see whether they change."""
    arrays: list[NDArray[Any] | None] = []
    for value in values:
        if isinstance(value, Slices):
            arrays += [value.image, value.brain, value.z, value.lesion]
        elif (prior := value.tissue_prior) is not None:
            arrays += [prior.mean, prior.variance]
    return [array.tobytes() for array in arrays if array is not None]


def _same(left: Any, right: Any) -> bool:
    """Whether two maps have the same type, shape and bits; NaN equals NaN."""
    left, right = np.asarray(left), np.asarray(right)
    is_alike = left.dtype == right.dtype and left.shape == right.shape
    return bool(is_alike) and left.tobytes() == right.tobytes()


def _stored(state: object) -> dict[str, NDArray[Any]] | None:
    """The state as it comes back from disk; ``None`` where it cannot be stored."""
    if not isinstance(state, dict):
        return None
    for name, array in state.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            return None
        if array.dtype.kind not in "biuf":
            return None
    return {name: np.array(array, order="C") for name, array in state.items()}
