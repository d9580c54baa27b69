"""Which controls stand in a run's tables, and what they are trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from uad_bench.method import Method, Params
from uad_bench.plugins.registry import Registry

_ALIKE = frozenset({"precision"})
"""Parameters of every training in which a control is like its method, though they are no budget."""


def default_controls(registry: Registry, methods: Sequence[type[Method]]) -> tuple[str, ...]:
    """The controls of a run of ``methods``, where the user names none: those that declare it.

    The ones beside networks come last, because they train as long as a network.
    """
    networks = any(method.budget for method in methods)
    names = {method.info.name for method in methods}
    return tuple(
        entry.name
        for beside in (("all", "networks") if networks else ("all",))
        for entry in registry.entries("method")
        if (entry.state, entry.beside) == ("ready", beside) and entry.stands_for not in names
    )


def followed(
    control: type[Method], methods: Sequence[tuple[type[Method], Params]], given: Mapping[str, Any]
) -> dict[str, Any]:
    """What a control takes over from the methods that it stands beside.

    A control that varies a method of the run (a subclass) takes what the user set for that method,
    except the parameters that it declares itself, and its budget. Any other takes the budget of the
    method with the largest one. Only controls that train have a budget. Both compute in the
    precision of the method whose budget it is, so that nothing else makes the difference.

    Args:
        control: the control.
        methods: the run's methods with their parameters.
        given: what the user set, by ``method.name``.
    """
    if not (control.info.control and control.budget):
        return {}
    leaders = [
        (method, params) for method, params in methods if set(control.budget) <= set(method.budget)
    ]
    varied = [(method, params) for method, params in leaders if issubclass(control, method)]
    if not leaders:
        return {}

    def size(leader: tuple[type[Method], Params]) -> float:
        return float(prod(getattr(leader[1], name) for name in control.budget))

    method, params = max(varied or leaders, key=size)
    both = control.Params.model_fields.keys() & type(params).model_fields.keys()
    values = {name: getattr(params, name) for name in (*control.budget, *(_ALIKE & both))}
    if not varied:
        return values
    own = control.Params.__annotations__
    set_by_user = {
        name: given[f"{method.info.name}.{name}"]
        for name in control.Params.model_fields
        if f"{method.info.name}.{name}" in given and name not in own
    }
    return values | set_by_user
