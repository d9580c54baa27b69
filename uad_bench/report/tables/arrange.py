"""Which dataset and which method a record belongs to: the rows and columns of a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uad_bench.cells import CellRecord, DatasetUse, short_hash
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.report.publication import Publication, PublishedNumber
from uad_bench.report.tables.model import GROUPS, Column, Row

RowKey = tuple[str, bool]
"""Dataset, and whether it is simulated."""

ColumnKey = tuple[bool, str, str, str, str]
"""Published or not, method (title where published), the dataset that a supervised one learned from,
hash of the parameters, post-processing."""


@dataclass(frozen=True, slots=True)
class Order:
    """In which order rows and columns stand.

    Attributes:
        datasets: every dataset.
        methods: every method.
        grouped: whether supervised methods are apart from others; controls always are.
    """

    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    grouped: bool = True

    @classmethod
    def of(cls, records: Iterable[CellRecord]) -> Order:
        """The order in which records come."""
        specs = [record.spec for record in records]
        return cls(
            tuple(dict.fromkeys(spec.dataset for spec in specs)),
            tuple(dict.fromkeys(spec.method for spec in specs)),
        )


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Records and published numbers, sorted into rows and columns.

    Attributes:
        paper: the paper whose order and names they follow.
        rows: datasets, simulated before real.
        columns: methods by group.
        own: the records, one per seed, by position ``(row, column)``.
        by_row: all records of each row, those that were tested on a part of the dataset last.
        published: the printed numbers by position and metric.
    """

    paper: Publication
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    own: Mapping[tuple[int, int], tuple[CellRecord, ...]]
    by_row: tuple[tuple[CellRecord, ...], ...]
    published: Mapping[tuple[int, int, str], PublishedNumber]


def arrange(
    records: Sequence[CellRecord],
    published: Sequence[PublishedNumber],
    postprocessings: Sequence[PostProcessing],
    paper: Publication,
    wanted: Order | None = None,
) -> Arrangement:
    """Sort records of one protocol, and published numbers, into rows and columns.

    A dataset that was evaluated both simulated and real gets two rows; a method with several sets
    of parameters gets a column for each. Published numbers stand in rows that our records have,
    or, without any record, in rows of their own.

    Args:
        records: the records.
        published: the printed numbers.
        postprocessings: those of both, in the order of columns.
        paper: the paper whose names the table follows.
        wanted: the order of rows and columns; that of the records if not given.
    """
    wanted = wanted or Order.of(records)
    variants = {one.name: one for one in postprocessings}
    kinds, titles = _kinds(records), dataset_titles(records, paper)
    own: defaultdict[tuple[RowKey, ColumnKey], list[CellRecord]] = defaultdict(list)
    printed: dict[tuple[Row, ColumnKey, str], PublishedNumber] = {}
    columns: dict[ColumnKey, Column] = {}
    labels = method_labels(records, paper)
    for record in sorted(records, key=lambda record: record.spec.name):
        spec = record.spec
        key: ColumnKey = (
            False,
            spec.method,
            spec.supervised_on,
            spec.params_hash,
            spec.postprocessing,
        )
        known = columns.get(key)
        if known is None or not known.training:
            columns[key] = _column(
                record,
                labels[spec.method, spec.supervised_on, spec.params_hash],
                variants[spec.postprocessing].mark,
                training_title(record.training, paper),
            )
        own[_row_key(record, kinds), key].append(record)
    row_keys = sorted(
        {key for key, _ in own}, key=lambda key: (wanted.datasets.index(key[0]), not key[1])
    )
    rows = [Row(dataset, titles[dataset], simulated) for dataset, simulated in row_keys]
    for number in published:
        key = (True, number.method, "", "", number.postprocessing)
        targets = [row for row in rows if row.dataset == number.label]
        if not records:
            targets = [Row(number.label, number.dataset)]
        for row in targets:
            columns.setdefault(key, _published_column(number, variants[number.postprocessing].mark))
            printed.setdefault((row, key, number.metric), number)
    rows = list(dict.fromkeys((*rows, *(row for row, _, _ in printed))))
    order = _order(columns, wanted, paper, list(variants))
    row_at = {(row.dataset, row.simulated): index for index, row in enumerate(rows)}
    column_at = {key: index for index, key in enumerate(order)}
    cells = {
        (row_at[row], column_at[key]): tuple(sorted(some, key=lambda one: one.spec.seed))
        for (row, key), some in own.items()
    }
    return Arrangement(
        paper=paper,
        rows=tuple(rows),
        columns=tuple(columns[key] for key in order),
        own=cells,
        by_row=tuple(_of_row(index, cells) for index in range(len(rows))),
        published={
            (row_at[row.dataset, row.simulated], column_at[key], metric): number
            for (row, key, metric), number in printed.items()
        },
    )


def training_title(use: DatasetUse | None, paper: Publication) -> str:
    """What a detector learned from, in words; nothing where it is not known."""
    if use is None:
        return ""
    title = use.title or paper.title(use.dataset)
    return f"{title} (simulated)" if use.simulated else title


def method_title(record: CellRecord, paper: Publication) -> str:
    """What tables call a method; a supervised one says which dataset it learned from."""
    on, use = record.spec.supervised_on, record.training
    if not on:
        return record.method_title
    return (
        f"{record.method_title} ({use.title if use is not None and use.title else paper.title(on)})"
    )


def dataset_titles(records: Iterable[CellRecord], paper: Publication) -> dict[str, str]:
    """What tables call each evaluated dataset; its name in cells where two have one title."""
    titles: dict[str, str] = {}
    for record in records:
        use, dataset = record.data, record.spec.dataset
        if use is not None and use.title:
            titles[dataset] = use.title
        else:
            titles.setdefault(dataset, paper.title(dataset))
    counts = Counter(titles.values())
    return {name: title if counts[title] == 1 else name for name, title in titles.items()}


def _kinds(records: Iterable[CellRecord]) -> dict[str, bool]:
    """Whether a dataset is simulated, for failed cells that never saw their data."""
    kinds: dict[str, bool] = {}
    for record in records:
        if record.data is not None:
            kinds[record.spec.dataset] = (
                kinds.get(record.spec.dataset, True) and record.data.simulated
            )
    return kinds


def _row_key(record: CellRecord, kinds: Mapping[str, bool]) -> RowKey:
    dataset = record.spec.dataset
    return dataset, kinds.get(dataset, False) if record.data is None else record.data.simulated


def _of_row(
    row: int, own: Mapping[tuple[int, int], Sequence[CellRecord]]
) -> tuple[CellRecord, ...]:
    whole, in_part = list[CellRecord](), list[CellRecord]()
    for (at, _), some in own.items():
        if at == row:  # those of one method learned from the same dataset
            (in_part if some[0].spec.tested_in_part else whole).extend(some)
    return (*whole, *in_part)


def _column(record: CellRecord, label: str, variant: str, training: str) -> Column:
    spec = record.spec
    return Column(
        method=spec.method,
        label=label,
        group=record.group,
        postprocessing=spec.postprocessing,
        supervised_on=spec.supervised_on,
        variant=variant,
        params_hash=spec.params_hash,
        training=training,
        elsewhere=record.maps is not None,
    )


def _published_column(number: PublishedNumber, variant: str) -> Column:
    return Column(
        number.name,
        number.method,
        "published",
        number.postprocessing,
        variant,
        number.supervised_on,
    )


def method_labels(
    records: Iterable[CellRecord], paper: Publication
) -> dict[tuple[str, str, str], str]:
    """Titles by method, what a supervised one learned from, and parameters' hash.

    Namesakes say in which parameters they differ.
    """
    titles: dict[tuple[str, str], str] = {}
    variants: defaultdict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for record in records:
        method = record.spec.method, record.spec.supervised_on
        titles.setdefault(method, method_title(record, paper))
        variants[method][record.spec.params_hash] = record.spec.params
    labels = {}
    for method, by_hash in variants.items():
        for params_hash, params in by_hash.items():
            suffix = _suffix(params_hash, params, list(by_hash.values()))
            labels[*method, params_hash] = titles[method] + suffix
    return labels


def _suffix(params_hash: str, params: Mapping[str, Any], all_params: list[dict[str, Any]]) -> str:
    if len(all_params) == 1:
        return ""
    names = sorted({name for some in all_params for name in some})
    differing = [
        name for name in names if len({short_hash(some.get(name)) for some in all_params}) > 1
    ]
    shared = all(name in some for name in differing for some in all_params)
    if not shared or not 1 <= len(differing) <= 2:
        return f" ({params_hash})"
    return f" ({', '.join(f'{name}={_short(params[name])}' for name in differing)})"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _order(
    columns: Mapping[ColumnKey, Column],
    wanted: Order,
    paper: Publication,
    postprocessings: Sequence[str],
) -> list[ColumnKey]:
    """The columns from left to right."""
    printed = list(dict.fromkeys(key[1] for key in columns if key[0]))
    groups = list(GROUPS)

    def place(key: ColumnKey) -> tuple[int, int, int, str, int]:
        column = columns[key]
        group = groups.index(column.group)
        if not wanted.grouped and column.group == "supervised":
            group = groups.index("detector")
        return (
            group,
            printed.index(key[1]) if key[0] else wanted.methods.index(column.method),
            0 if key[0] else paper.dataset_place(column.supervised_on),
            column.label,
            postprocessings.index(column.postprocessing),
        )

    return sorted(columns, key=place)
