"""The parameters of a method, as a run is given them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.method import Method, Params, member_field, members_of, search_space


def shared_params(base: type[Method], params: Params) -> Params:
    """The parameters of the training that a method shares, from its own."""
    return base.Params.model_validate(params.model_dump(include=set(base.Params.model_fields)))


def given_params(param: Mapping[str, Any], method: type[Method]) -> dict[str, Any]:
    """The parameters that the user set for a method, from ``method.name`` keys.

    What was set for the method whose training it shares, or for a member of an ensemble, was set
    for it too.
    """
    base, prefix = method.trained_as, f"{method.info.name}."
    shared = {} if base is None else given_params(param, base)
    for member in members_of(method):
        if values := given_params(param, member):
            shared[member_field(member)] = values
    own = {key.removeprefix(prefix): v for key, v in param.items() if key.startswith(prefix)}
    return shared | own


def merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values and the others, which win; those of an ensemble's member one by one."""
    result = dict(values)
    for name, other in others.items():
        known = result.get(name)
        nested = isinstance(known, Mapping) and isinstance(other, Mapping)
        result[name] = merged(known, other) if nested else other  # type: ignore[arg-type]
    return result


def tunable(method: type[Method]) -> set[str]:
    """The parameters that tuning chooses; of an ensemble, those of members that are tuned."""
    if members := members_of(method):
        return {member_field(one) for one in members if tunable(one)}
    return set(search_space(method.Params)) if method.objective else set()


def validated(
    method: type[Method], values: Mapping[str, Any], said: Callable[[str], str] = str
) -> Params:
    """Make the method's parameters, or say in one line which setting is wrong.

    Args:
        method: the method.
        values: by name of the parameter.
        said: how a message names ``method.name``, by where it came from; so, if not given.

    Raises:
        UadBenchError: naming each parameter that is unknown or out of range.
    """
    try:
        return method.Params.model_validate(dict(values))
    except ValidationError as error:
        problems = []
        for item in error.errors():
            whose, (*loc,) = method, item["loc"]
            for member in members_of(method):
                if len(loc) > 1 and loc[0] == member_field(member):
                    whose, (_, *loc) = member, loc
            name = ".".join(str(part) for part in loc)
            problem = item["msg"]
            if item["type"] == "extra_forbidden":
                problem = unknown_parameter(whose, name)
            key = f"{whose.info.name}.{name}" if name else ""
            problems.append(f"{said(key) if key else whose.info.name}: {problem}")
        raise UadBenchError("; ".join(problems)) from None


def one_by_one(member: type[Method]) -> str:
    """What to say where all parameters of an ensemble's member are given as one value."""
    return f"give its parameters one by one, as {member.info.name}.NAME=VALUE"


def unknown_parameter(method: type[Method], name: str) -> str:
    """What to say of a parameter that a method does not have."""
    first, _, rest = name.partition(".")
    for member in members_of(method):
        if rest and first == member_field(member):
            return f"write {member.info.name}.{rest}=VALUE, which holds for this member too"
    known = tuple(method.Params.model_fields)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown; {hint}{method.info.name} has: {', '.join(known) or 'no parameters'}"
