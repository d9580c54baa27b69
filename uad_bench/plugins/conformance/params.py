"""The rules of a method's parameters: its model, search ranges, presets and ``resolve``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from uad_bench.method import Method, Params, descriptions, search_space
from uad_bench.plugins.conformance.findings import Findings, Stop
from uad_bench.plugins.declarations import name_fault

QUICK_STEPS = (4, 16, 64)
"""Lengths tried, the shortest first, for every number of steps among a method's parameters."""


def check_params(cls: type[Method], findings: Findings) -> Params:
    """Parameters are frozen, have defaults, survive JSON, and their ranges hold the default.

    Returns:
        The parameters to try the method with: the defaults, but trained for a handful of steps, as
        a run resolves them.

    Raises:
        Stop: there are none.
    """
    model = cls.Params
    if not (isinstance(model, type) and issubclass(model, Params)):
        findings.check(False, "params", "Params must derive from uad_bench.method.Params")
        raise Stop
    config = model.model_config
    findings.check(config.get("frozen") is True, "params", "Params must stay frozen")
    findings.check(config.get("extra") == "forbid", "params", "Params must forbid unknown fields")
    with findings.attempt("params", "Params() (every field needs a default)"):
        params = model()
        again = model.model_validate_json(params.model_dump_json())
        findings.check(again == params, "params", "Params must survive a round trip through JSON")
    silent = ", ".join(name for name, words in descriptions(model).items() if not words.strip())
    message = f"say in a text below the field, with its unit, what this parameter means: {silent}"
    findings.check(not silent, "description", message)
    space = search_space(model)
    for name, span in space.items():
        value = getattr(params, name)
        bounds = f"[{span.low:g}, {span.high:g}]"
        findings.check(span.low < span.high, "search", f"{name}: search range {bounds} is empty")
        findings.check(
            not span.log or span.low > 0, "search", f"{name}: a log range cannot start at {bounds}"
        )
        findings.check(
            isinstance(value, int | float) and span.low <= value <= span.high,
            "search",
            f"{name}: default {value!r} is outside its search range {bounds}",
        )
        for end in (span.low, span.high):
            number = int(end) if isinstance(value, int) else end
            findings.check(
                _accepts(model, {name: number}), "search", f"{name}: {number:g} is not allowed"
            )
    for name, value in cls.info.first_trial.items():
        fits = name in space and space[name].low <= value <= space[name].high
        findings.check(
            fits,
            "first_trial",
            f"first_trial: {name} = {value!r} is no tunable field, or outside its search range",
        )
    _check_presets(cls, findings)
    return _resolved(cls, _quick(model, params), findings)


def _check_presets(cls: type[Method], findings: Findings) -> None:
    """Every preset has a name for the command line and is allowed, its tuned values in range."""
    presets, space = cls.info.presets, search_space(cls.Params)
    is_whole = isinstance(presets, Mapping) and all(
        isinstance(name, str) and isinstance(values, Mapping) for name, values in presets.items()
    )
    findings.check(
        is_whole, "presets", f"presets must map names to parameters and values, is {presets!r}"
    )
    for preset, values in presets.items() if is_whole else ():
        fault = name_fault("method", preset)
        findings.check(fault is None, "presets", f"preset {preset!r}: {fault}")
        try:
            params = cls.Params.model_validate(dict(values))
        except ValidationError as error:
            item = error.errors()[0]
            where = ".".join(str(part) for part in item["loc"])
            findings.check(False, "presets", f"preset {preset}: {where}: {item['msg']}")
            continue
        for name in space.keys() & values.keys():
            value, span = getattr(params, name), space[name]
            findings.check(
                span.low <= value <= span.high,
                "presets",
                f"preset {preset}: {name} = {value!r} is outside its search range "
                f"[{span.low:g}, {span.high:g}]",
            )


def _accepts(model: type[Params], values: Mapping[str, Any]) -> bool:
    """Whether the model validates these values."""
    try:
        model(**values)
    except ValidationError:
        return False
    return True


def _quick(model: type[Params], params: Params) -> Params:
    """The parameters, with few steps in every field ``steps`` or ``..._steps``."""
    chosen: dict[str, Any] = {}
    for name, value in params:
        if isinstance(value, Params):  # of a member of an ensemble
            chosen[name] = _quick(type(value), value)
        elif (name == "steps" or name.endswith("_steps")) and isinstance(value, int):
            fits = (n for n in QUICK_STEPS if n < value and _accepts(model, {**chosen, name: n}))
            chosen[name] = next(fits, value)
    return model(**{**dict(params), **chosen})


def _resolved(cls: type[Method], params: Params, findings: Findings) -> Params:
    """What a run makes of the parameters: others of the same kind, which stay what they are."""
    with findings.attempt("resolve", "resolve(params)"):
        found = cls.resolve(params)
        again = cls.resolve(found)
    if not isinstance(found, cls.Params):
        findings.check(False, "resolve", f"resolve must return Params, not {type(found).__name__}")
        raise Stop
    findings.check(again == found, "resolve", "resolve must leave resolved parameters as they are")
    return found
