"""The tables of a results folder that somebody asks for: one per protocol and space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from uad_bench.cells import CellRecord, EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import load_published
from uad_bench.report.tables.build import build_table
from uad_bench.report.tables.metrics import Kind, metrics_by_kind
from uad_bench.report.tables.model import Table

Names = str | Sequence[str]
"""Names in a list, or in a text with commas."""

_FIRST = "strict"
"""The protocol whose table is first; that of the paper's numbers alone."""


def chosen_tables(
    records: Sequence[CellRecord],
    registry: Registry,
    *,
    metrics: Names | None = None,
    protocol: Names | None = None,
    space: str | None = None,
    intervals: bool = False,
    published: bool = False,
    compare: str | None = None,
) -> tuple[Table, ...]:
    """Make a table per protocol and space that was run, or of those that are asked for.

    Args:
        records: the cells; none where the paper's numbers stand alone.
        registry: where their protocols and post-processings are found.
        metrics: names of metrics; the protocol's own if not given.
        protocol: names of protocols.
        space: ``template`` or ``native``.
        intervals: whether to show 95 % intervals.
        published: whether to add the paper's numbers.
        compare: a method whose average improvement and paired tests are added.

    Raises:
        UadBenchError: an unknown name, or nothing to show.
    """
    asked = None if metrics is None else names("metrics", metrics)
    printed = load_published(BERCEA_2022) if published else ()
    postprocessings = registry.postprocessings(
        {record.spec.postprocessing for record in records}
        | {number.postprocessing for number in printed}
    )
    kinds = [
        (name, kind)
        for name in _protocols(protocol, records)
        for kind in _spaces(space, name, records)
    ]
    by_kind: Mapping[Kind, Sequence[str] | None] = dict.fromkeys(kinds, asked)
    if asked is not None and any((r.spec.protocol, r.spec.space) in kinds for r in records):
        by_kind = metrics_by_kind(asked, kinds, records)
    return tuple(
        build_table(
            records,
            registry.protocol(name),
            postprocessings,
            metrics=shown,
            intervals=intervals,
            published=printed,
            compare=compare,
            space=kind,
        )
        for (name, kind), shown in by_kind.items()
    )


def one_space(text: str) -> EvaluationSpace:
    """Return the space of that name.

    Raises:
        UadBenchError: there is none.
    """
    known: tuple[EvaluationSpace, ...] = get_args(EvaluationSpace)
    chosen = next((space for space in known if space == text), None)
    if chosen is None:
        raise UadBenchError(f"--space {text}: unknown; available: {', '.join(known)}")
    return chosen


def _protocols(asked: Names | None, records: Sequence[CellRecord]) -> tuple[str, ...]:
    """The protocols to show, the default one first."""
    if asked is not None:
        return tuple(dict.fromkeys(names("protocol", asked)))
    there = {record.spec.protocol for record in records} or {_FIRST}
    return tuple(sorted(there, key=lambda name: (name != _FIRST, name)))


def _spaces(
    asked: str | None, protocol: str, records: Sequence[CellRecord]
) -> tuple[EvaluationSpace, ...]:
    """The spaces to show of one protocol: the one that is asked for, or every one that is there."""
    if asked is not None:
        return (one_space(asked),)
    known: tuple[EvaluationSpace, ...] = get_args(EvaluationSpace)
    there = {record.spec.space for record in records if record.spec.protocol == protocol}
    return tuple(space for space in known if space in there) or known[:1]


def names(flag: str, given: Names) -> tuple[str, ...]:
    """The names that were given.

    Raises:
        UadBenchError: there is none.
    """
    parts = given.split(",") if isinstance(given, str) else given
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise UadBenchError(f"--{flag}: names nothing; give one or several, separated by commas")
    return names
