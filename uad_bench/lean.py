"""Cells as they are read for tables and frames: the same fields, in a third of the time.

pydantic says what a cell is, and in words why a file is none. msgspec reads the same JSON faster,
into objects of half the size. Its classes are made here from those of :mod:`uad_bench.cells`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cached_property, lru_cache
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel

from uad_bench.cells import CellRecord

_NOT_SHOWN = dict.fromkeys(("scans", "traits", "thresholds", "environment"), msgspec.UNSET)


def lean_cell(data: bytes) -> CellRecord | None:
    """Read a cell's JSON; ``None`` where it is for pydantic to say whether it is a cell.

    Returns:
        What has every field and property of a ``CellRecord``, its parts likewise.
    """
    try:
        return cast(CellRecord, _decoder().decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def lean(record: CellRecord) -> CellRecord:
    """Return the same cell as :func:`lean_cell` returns it."""
    return cast(CellRecord, msgspec.convert(record.model_dump(), lean_type(CellRecord)))


def for_tables(record: CellRecord) -> CellRecord:
    """Return a lean cell without what tables do not show: a third of its room.

    What is left out is ``msgspec.UNSET``, which nobody can take for an empty list.
    """
    return cast(CellRecord, msgspec.structs.replace(cast(Any, record), **_NOT_SHOWN))


def whole(record: CellRecord) -> CellRecord:
    """Return the same cell as pydantic's model; one that is such a model is returned as it is."""
    if isinstance(record, CellRecord):
        return record
    return CellRecord.model_validate(msgspec.to_builtins(record))


@lru_cache
def _decoder() -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(lean_type(CellRecord))


@lru_cache
def lean_type(kind: Any) -> Any:
    """Return the type that msgspec reads where pydantic reads another.

    Args:
        kind: the annotation of a field, or a model or dataclass, which becomes a class with the
            same fields and properties.
    """
    origin, parts = get_origin(kind), tuple(map(lean_type, get_args(kind)))
    if origin in (Union, UnionType):
        return Union[parts]  # noqa: UP007 - of parts that are known only now
    if origin in (tuple, dict, Mapping):
        return (dict if origin is Mapping else origin)[parts]
    values = _fields(kind) if isinstance(kind, type) else None
    return kind if values is None else _class(kind, values)


def _fields(kind: type) -> list[tuple[str, Any, Any]] | None:
    """Name, type and default of the fields of a dataclass or a model; ``None`` of another type."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return [(one.name, hints[one.name], one.default) for one in fields(kind)]
    if issubclass(kind, BaseModel):
        return [
            (
                name,
                one.annotation,
                MISSING if one.is_required() else one.get_default(call_default_factory=True),
            )
            for name, one in kind.model_fields.items()
        ]
    return None


def _class(kind: type, values: list[tuple[str, Any, Any]]) -> type[msgspec.Struct]:
    properties = {
        name: cached_property(one.fget)  # a table asks for a cell's name again and again
        for name, one in vars(kind).items()
        if isinstance(one, property) and one.fget is not None
    }
    return msgspec.defstruct(
        kind.__name__,
        [
            (name, lean_type(one), *(() if default is MISSING else (default,)))
            for name, one, default in values
        ],
        namespace=dict(properties),
        dict=bool(properties),  # where they are kept
        frozen=True,
        forbid_unknown_fields=True,
        kw_only=True,
        gc=bool(properties),  # the others are in no circle, and need no search for one
    )
