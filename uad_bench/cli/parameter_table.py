"""The parameters of a method as a table: values, defaults, presets, and what each one means."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from uad_bench.cli.output import print_table
from uad_bench.method import descriptions, search_space
from uad_bench.plugins.declarations import one_line

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from uad_bench.method import Method

_LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def print_parameters(method: type[Method]) -> None:
    """Print one row per parameter, inherited ones too; a preset is a column."""
    meanings = descriptions(method.Params)
    tuned = search_space(method.Params) if method.objective else {}
    presets = method.info.presets.values()
    rows = []
    for name, info in method.Params.model_fields.items():
        words = [one_line(meanings[name].replace("``", ""))]
        if span := tuned.get(name):
            scale = " (log scale)" if span.log else ""
            words.append(f"Tuned from {span.low:g} to {span.high:g}{scale}.")
        values = (_shown(preset[name]) if name in preset else "" for preset in presets)
        default = _shown(info.get_default(call_default_factory=True))
        rows.append((name, default, *values, _allowed(info), " ".join(words).strip()))
    headings = (preset.upper() for preset in method.info.presets)
    print_table(("PARAMETER", "DEFAULT", *headings, "VALUES", "MEANING"), rows)


def _allowed(info: FieldInfo) -> str:
    """The values that a parameter may have: its choices, or its type and limits."""
    limits = [
        f"{sign} {getattr(limit, key):g}"
        for limit in info.metadata
        for key, sign in _LIMITS.items()
        if getattr(limit, key, None) is not None
    ]
    is_union = get_origin(info.annotation) in {Union, UnionType}
    kinds = list(get_args(info.annotation)) if is_union else [info.annotation]
    words = " | ".join(_type(kind) for kind in kinds if kind is not NoneType)
    whole = f"{words} {', '.join(limits)}".rstrip()
    return f"{whole} | null" if NoneType in kinds else whole


def _type(annotation: Any) -> str:
    """A type as a reader writes its values: the choices, or the type's name."""
    origin = get_origin(annotation)
    if origin is Literal:
        return " | ".join(_shown(value) for value in get_args(annotation))
    if annotation is bool:
        return "true | false"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "parameters"
    return annotation.__name__.lower() if origin is None else str(annotation)


def _shown(value: Any) -> str:
    """A value as the command line and YAML take it."""
    if value is None:
        return "null"
    if isinstance(value, BaseModel | Mapping):  # of a member of an ensemble, which has a table too
        return "its own"
    return str(value).lower() if isinstance(value, bool) else str(value)
