"""Which metrics a table shows."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from uad_bench.cells import CellRecord, EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import Protocol

Kind = tuple[str, EvaluationSpace]
"""What a table is of."""


def metrics_by_kind(
    asked: Sequence[str], kinds: Iterable[Kind], records: Sequence[CellRecord]
) -> dict[Kind, tuple[str, ...]]:
    """The asked metrics that each table can show; a table that can show none is left out.

    Args:
        asked: names.
        kinds: the tables.
        records: what there is to show; at least one.

    Raises:
        UadBenchError: if an asked metric is in none of the tables.
    """
    known: dict[Kind, set[str]] = {kind: set() for kind in kinds}
    for record in records:
        known.get((record.spec.protocol, record.spec.space), set()).update(record.metrics)
    protocols = " or ".join(dict.fromkeys(protocol for protocol, _ in known))
    _refuse_unknown(asked, set().union(*known.values()), protocols)
    shown = {kind: tuple(name for name in asked if name in known[kind]) for kind in known}
    return {kind: names for kind, names in shown.items() if names}


def chosen_metrics(
    asked: Iterable[str] | None, protocol: Protocol, records: Iterable[CellRecord]
) -> tuple[str, ...]:
    """The metrics a table shows.

    Args:
        asked: names, or ``None`` for the protocol's own.
        protocol: the protocol of the records.
        records: what there is to show.

    Returns:
        The names in order. A metric that says little alone is followed by the one that it needs.

    Raises:
        UadBenchError: if an asked metric is in none of the records.
    """
    records = list(records)
    known = set[str]().union(*(record.metrics for record in records))
    if asked is None:
        always = [one.name for one in protocol.metrics if one.shown == "always"]
        shown = tuple(name for name in always if name in known) or tuple(always[:1])
        at_times = (one.name for one in protocol.metrics if one.shown == "where known")
        return (*shown, *(one for one in at_times if one in known and _has_value(one, records)))
    names = tuple(dict.fromkeys(asked))
    _refuse_unknown(names, known, protocol.name)
    return tuple(dict.fromkeys(_accompanied(names, protocol, known)))


def published_metrics(asked: Iterable[str] | None, published: Sequence[str]) -> tuple[str, ...]:
    """The metrics that a table of printed numbers alone shows.

    Raises:
        UadBenchError: if an asked metric is not among them.
    """
    names = tuple(published if asked is None else dict.fromkeys(asked))
    _refuse_unknown(names, published, "published")
    return names


def _refuse_unknown(names: Iterable[str], known: Iterable[str], protocol: str) -> None:
    known = set(known)
    for name in names:
        if name not in known:
            available = ", ".join(sorted(known)) or "none, because every cell failed"
            raise UadBenchError(
                f"--metrics {name}: not in the results of protocol {protocol}; "
                f"available: {available}"
            )


def _has_value(name: str, records: Iterable[CellRecord]) -> bool:
    """Whether any record has a number for this metric."""
    metrics = (record.metrics.get(name) for record in records)
    return any(metric is not None and metric.value is not None for metric in metrics)


def _accompanied(names: Iterable[str], protocol: Protocol, known: Container[str]) -> Iterator[str]:
    """The names, each followed by the one that it must not stand without."""
    for name in names:
        yield name
        if (other := protocol.metric(name).needs) in known:
            yield other
