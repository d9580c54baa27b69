"""The tables of a results folder that somebody asks for: one per protocol and space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from uad_bench.cells import CellRecord, EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import PrintedTable, load_published
from uad_bench.report.tables.build import build_table
from uad_bench.report.tables.choice import Choice, Names, names
from uad_bench.report.tables.metrics import Kind, metrics_by_kind
from uad_bench.report.tables.model import Rows, Table
from uad_bench.system.collector import collector_paused

_FIRST = "strict"
"""The protocol whose table is first; that of the paper's numbers alone."""


@collector_paused()
def chosen_tables(
    records: Sequence[CellRecord],
    registry: Registry,
    *,
    like: str | None = None,
    metrics: Names | None = None,
    methods: Names | None = None,
    postprocessing: Names | None = None,
    controls: Names | None = None,
    datasets: Names | None = None,
    rows: str | None = None,
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
        like: the paper's table whose form it takes, such as ``table2``.
        metrics: names of metrics; the protocol's own if not given.
        methods: methods that are no controls, in the order of columns; all if not given.
        postprocessing: post-processings, likewise.
        controls: controls, likewise; ``none`` for none.
        datasets: datasets, likewise.
        rows: ``datasets`` or ``methods``; as it fits if not given.
        protocol: names of protocols.
        space: ``template`` or ``native``.
        intervals: whether to show 95 % intervals.
        published: whether to add the paper's numbers, and the differences from them.
        compare: a method whose average improvement and paired tests are added.

    Raises:
        UadBenchError: an unknown name, or nothing to show.
    """
    form = None if like is None else _form(like)
    oriented = _rows(rows) or (None if form is None else "datasets")
    asked = None if metrics is None else names("metrics", metrics)
    choice = Choice.of(
        methods=methods, postprocessing=postprocessing, controls=controls, datasets=datasets
    )
    known = choice.records(records) if records else ()
    shown = known if form is None else choice.in_form(known, form)
    if known and not shown and not published:
        raise UadBenchError(_nothing_in(f"--like {like}", form))
    printed = choice.published(load_published(BERCEA_2022)) if published else ()
    if form is not None:
        printed = tuple(number for number in printed if number.table == form.number)
    used = {record.spec.postprocessing for record in shown}
    variants = registry.postprocessings(used | {number.postprocessing for number in printed})
    if choice.postprocessings is not None:
        order = choice.postprocessings
        variants = tuple(sorted(variants, key=lambda one: order.index(one.name)))
    kinds = [
        (name, kind)
        for name in _protocols(protocol, shown, form)
        for kind in _spaces(space, name, shown, form)
    ]
    by_kind: Mapping[Kind, Sequence[str] | None] = dict.fromkeys(kinds, asked)
    if asked is not None and any((r.spec.protocol, r.spec.space) in kinds for r in shown):
        by_kind = metrics_by_kind(asked, kinds, shown)
    tables = (
        build_table(
            shown,
            registry.protocol(name),
            variants,
            form=form,
            rows=oriented,
            order=choice.order(records, form),
            metrics=chosen,
            intervals=intervals,
            published=printed,
            compare=compare,
            space=kind,
        )
        for (name, kind), chosen in by_kind.items()
    )
    return tuple(
        replace(table, basis=f"{table.basis} {missed}".strip())
        for table, missed in zip(
            tables, (_missed(choice, form, records, kind) for kind in by_kind), strict=True
        )
    )


def _missed(
    choice: Choice, form: PrintedTable | None, records: Sequence[CellRecord], kind: Kind
) -> str:
    """Say which of our results a table lacks that may be missed in it; nothing if none.

    Args:
        choice: what the user chose.
        form: the paper's table whose form it takes.
        records: all of our results.
        kind: protocol and space of the table.
    """
    known = choice.records(records) if records else ()
    if records and not known:
        return "None of our own results is of all that was chosen."
    if form is None or not known:
        return ""
    shown = choice.in_form(known, form)
    # of a table without any result of ours, all of them may be missed
    mine = [one for one in known if not shown or (one.spec.protocol, one.spec.space) == kind]
    text = choice.left_out_of_form(mine, form)
    if text or shown:
        return text
    return f"None of our own results is in the form of Table {form.number}."


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


def _form(like: str) -> PrintedTable:
    known = BERCEA_2022.tables
    if like not in known:
        raise UadBenchError(f"--like {like}: unknown; available: {', '.join(known)}")
    return known[like]


def _rows(text: str | None) -> Rows | None:
    known: tuple[Rows, ...] = get_args(Rows)
    chosen = next((rows for rows in known if rows == text), None)
    if text is not None and chosen is None:
        raise UadBenchError(f"--rows {text}: unknown; available: {', '.join(known)}")
    return chosen


def _nothing_in(asked: str, form: PrintedTable | None) -> str:
    if form is not None and form.supervised == "only":
        on = ",".join(form.supervised_on)
        return (
            f"{asked}: it shows supervised methods, and no results are of one: run "
            f"`uad-bench run --methods unet --supervised-on {on}`, or add --published"
        )
    shown = ", ".join(() if form is None else form.postprocessings)
    return (
        f"{asked}: no results of a detector with post-processing {shown}: run it with "
        f"`uad-bench run --postprocessing {shown}`, or say --postprocessing"
    )


def _protocols(
    asked: Names | None, records: Sequence[CellRecord], form: PrintedTable | None
) -> tuple[str, ...]:
    """The protocols to show, the default one first; one of them in the form of a paper's table."""
    if asked is not None:
        return names("protocol", asked)
    there = {record.spec.protocol for record in records} or {_FIRST}
    if form is not None and BERCEA_2022.protocol in there:
        return (BERCEA_2022.protocol,)
    return tuple(sorted(there, key=lambda name: (name != _FIRST, name)))[: 1 if form else None]


def _spaces(
    asked: str | None, protocol: str, records: Sequence[CellRecord], form: PrintedTable | None
) -> tuple[EvaluationSpace, ...]:
    """The spaces to show of one protocol: the one that is asked for, or every one that is there."""
    if asked is not None:
        return (one_space(asked),)
    known: tuple[EvaluationSpace, ...] = get_args(EvaluationSpace)
    there = {record.spec.space for record in records if record.spec.protocol == protocol}
    return tuple(space for space in known if space in there)[: 1 if form else None] or known[:1]
