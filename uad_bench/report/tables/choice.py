"""Which results a table or figure shows, and in which order: the user says, or a paper's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import PrintedTable, Publication, PublishedNumber
from uad_bench.report.tables.arrange import Order, method_title

Names = str | Sequence[str]
"""Names in a list, or in a text with commas."""

NO_CONTROLS = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The methods, post-processings, controls and datasets of a table, in the order wanted.

    Attributes:
        methods: methods that are no controls; all of them, in the run's order, if not given.
        postprocessings: likewise.
        controls: likewise; empty for none.
        datasets: likewise.
    """

    methods: tuple[str, ...] | None = None
    postprocessings: tuple[str, ...] | None = None
    controls: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        *,
        methods: Names | None,
        postprocessing: Names | None,
        controls: Names | None,
        datasets: Names | None,
    ) -> Choice:
        """Read what the command line or Python was given.

        Raises:
            UadBenchError: something that was given names nothing.
        """
        return cls(
            methods=_given("methods", methods),
            postprocessings=_given("postprocessing", postprocessing),
            controls=_given_controls(controls),
            datasets=_given("datasets", datasets),
        )

    def records(self, records: Sequence[CellRecord]) -> tuple[CellRecord, ...]:
        """The records to show.

        Raises:
            UadBenchError: a name is of none of the records; all such names at once.
        """
        asked = (self.methods, self.postprocessings, self.controls, self.datasets)
        if asked == (None,) * len(asked):
            return tuple(records)
        there: dict[str, set[str]] = {
            "methods": {one.spec.method for one in records if not one.control},
            "postprocessing": {one.spec.postprocessing for one in records},
            "controls": {one.spec.method for one in records if one.control},
            "datasets": {one.spec.dataset for one in records},
        }
        problems = [
            _unknown(flag, name, there)
            for flag, some in zip(there, asked, strict=True)
            for name in some or ()
            if name not in there[flag]
        ]
        if problems:
            raise UadBenchError("; ".join(problems))
        return tuple(
            one
            for one in records
            if _wanted(one.spec.method, self.controls if one.control else self.methods)
            and _wanted(one.spec.postprocessing, self.postprocessings)
            and _wanted(one.spec.dataset, self.datasets)
        )

    def in_form(self, records: Sequence[CellRecord], form: PrintedTable) -> tuple[CellRecord, ...]:
        """The records that a paper's table would show; what the user chose stays.

        Args:
            records: those to show.
            form: the table.
        """
        return tuple(
            one
            for one in records
            if self._may_be_in(one, form)
            and (
                self.postprocessings is not None
                or form.shows_postprocessing(one.spec.method, one.spec.postprocessing)
            )
        )

    def left_out_of_form(self, records: Sequence[CellRecord], form: PrintedTable) -> str:
        """Say which methods a paper's table would show, but for their post-processing.

        Args:
            records: those to show.
            form: the table.

        Returns:
            A sentence; nothing where no method is left out.
        """
        shown = {_method_of(one) for one in self.in_form(records, form)}
        others: dict[str, dict[str, None]] = {}
        for one in records:
            if self._may_be_in(one, form) and _method_of(one) not in shown:
                title = method_title(one, BERCEA_2022)
                others.setdefault(title, {})[one.spec.postprocessing] = None
        if not others:
            return ""
        listed = "; ".join(f"{title}: {', '.join(some)}" for title, some in others.items())
        return (
            f"Table {form.number} shows post-processing {', '.join(form.postprocessings)}. Not "
            f"shown, because there are results of another one alone ({listed}); "
            "--postprocessing shows them."
        )

    def order(
        self,
        records: Sequence[CellRecord],
        form: PrintedTable | None = None,
        paper: Publication = BERCEA_2022,
    ) -> Order:
        """The order wanted: the user's, else that of a paper's table, else the run's.

        Args:
            records: all that there are.
            form: the paper's table whose form the table takes.
            paper: its paper.
        """
        run = Order.of(records)
        methods, datasets = self.methods or run.methods, self.datasets or run.datasets
        if form is not None and self.methods is None:
            methods = tuple(sorted(methods, key=paper.method_place))
        if form is not None and self.datasets is None:
            datasets = tuple(sorted(datasets, key=paper.dataset_place))
        return Order(
            datasets,
            tuple(dict.fromkeys((*methods, *(self.controls or ()), *run.methods))),
            grouped=form is None and self.methods is None,
        )

    def published(self, numbers: Iterable[PublishedNumber]) -> tuple[PublishedNumber, ...]:
        """The printed numbers to show, in the order wanted."""
        methods, datasets = self.methods or (), self.datasets or ()
        kept = [
            one
            for one in numbers
            if _wanted(one.name, self.methods)
            and _wanted(one.postprocessing, self.postprocessings)
            and _wanted(one.label, self.datasets)
        ]
        if methods:
            kept.sort(key=lambda one: methods.index(one.name))
        if datasets:
            kept.sort(key=lambda one: datasets.index(one.label))
        return tuple(kept)

    def _may_be_in(self, record: CellRecord, form: PrintedTable) -> bool:
        """Whether a paper's table shows the method of a cell, or the user chose it."""
        if record.control:
            return self.controls is not None
        return self.methods is not None or form.shows_method(
            supervised=record.supervised, supervised_on=record.spec.supervised_on
        )


def names(flag: str, given: Names) -> tuple[str, ...]:
    """The names that were given, each once.

    Raises:
        UadBenchError: there is none.
    """
    parts = given.split(",") if isinstance(given, str) else given
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise UadBenchError(f"--{flag}: names nothing; give one or several, separated by commas")
    return found


def _method_of(record: CellRecord) -> tuple[str, str, str]:
    """What has columns of its own in a table, whatever the post-processing."""
    spec = record.spec
    return spec.method, spec.supervised_on, spec.params_hash


def _given(flag: str, value: Names | None) -> tuple[str, ...] | None:
    return None if value is None else names(flag, value)


def _given_controls(value: Names | None) -> tuple[str, ...] | None:
    if value in ((), []):
        return ()
    found = _given("controls", value)
    if found is None or NO_CONTROLS not in found:
        return found
    if len(found) > 1:
        more = ",".join(name for name in found if name != NO_CONTROLS)
        raise UadBenchError(
            f"--controls {','.join(found)}: say {NO_CONTROLS} alone, or leave it out: "
            f"--controls {more}"
        )
    return ()


def _wanted(name: str, asked: Sequence[str] | None) -> bool:
    return asked is None or name in asked


def _unknown(flag: str, name: str, there: Mapping[str, Iterable[str]]) -> str:
    other = {"methods": "controls", "controls": "methods"}.get(flag, flag)
    if other != flag and name in there[other]:
        kind = "a control" if other == "controls" else "no control"
        return f"--{flag} {name}: it is {kind}: say --{other} {name}"
    known = sorted(there[flag])
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"--{flag} {name}: not in these results.{hint} Available: {', '.join(known) or 'none'}"
