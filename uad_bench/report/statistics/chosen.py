"""The cells that a comparison or a grouping stands on: one protocol, space and post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from uad_bench.cells import CellRecord, EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import MetricInfo, Protocol
from uad_bench.plugins.registry import Registry
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.tables.arrange import Arrangement, arrange
from uad_bench.report.tables.choice import Names, names
from uad_bench.report.tables.chosen import one_space
from uad_bench.report.tables.model import Column, Row
from uad_bench.report.tables.states import (
    different_data,
    is_in_part,
    subjects_of_part,
    trainings_note,
)
from uad_bench.report.tables.versions import refuse_other_version


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks of a results folder, in the words of the command line.

    Attributes:
        methods: names of methods; empty for all.
        metric: a metric; the protocol's first if not given.
        datasets: names of datasets; all if not given.
        protocol: ``strict`` if it was run, or else the only one, if not given.
        space: ``template`` or ``native``.
        postprocessing: ``none`` if it was run, or else the only one, if not given.
    """

    methods: Sequence[str] = ()
    metric: str | None = None
    datasets: Names | None = None
    protocol: str | None = None
    space: str = "template"
    postprocessing: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cells that answer a question.

    Attributes:
        protocol: their protocol.
        space: the voxels that were scored.
        postprocessing: their post-processing.
        metric: what is compared.
        arrangement: their methods and datasets.
        methods: positions of the asked methods among its columns, in the order of asking.
        datasets: positions of the asked datasets among its rows.
    """

    protocol: Protocol
    space: EvaluationSpace
    postprocessing: PostProcessing
    metric: MetricInfo
    arrangement: Arrangement
    methods: tuple[int, ...]
    datasets: tuple[int, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The asked methods."""
        return tuple(self.arrangement.columns[at] for at in self.methods)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The asked datasets."""
        return tuple(self.arrangement.rows[at] for at in self.datasets)

    def cells(self, dataset: int, method: int) -> tuple[CellRecord, ...]:
        """The finished cells of one of the datasets and one of the methods, one per seed."""
        found = self.arrangement.own.get((self.datasets[dataset], self.methods[method]), ())
        return tuple(record for record in found if record.state == "done")

    def is_in_part(self, dataset: int, method: int) -> bool:
        """Whether a method was tested on a part of a dataset, because it learned from the rest."""
        return is_in_part(self.arrangement, self.datasets[dataset], self.methods[method])

    def apart(self, method: int, other: int) -> dict[int, str]:
        """Return the datasets that one of two methods alone was tested on a part of.

        They are not compared there.

        Returns:
            By position of the dataset, a sentence that says so.
        """
        found = {}
        for at, row in enumerate(self.rows):
            taught = [one for one in (method, other) if self.is_in_part(at, one)]
            if len(taught) == 1 and all(self.cells(at, one) for one in (method, other)):
                tested = subjects_of_part(
                    self.arrangement, self.datasets[at], self.methods[taught[0]]
                )
                found[at] = (
                    f"{self.columns[method].label} and {self.columns[other].label} are not "
                    f"compared on {row.title}: {self.columns[taught[0]].label} is supervised, "
                    f"learned from it, and was tested on {tested}."
                )
        return found

    @property
    def records(self) -> tuple[CellRecord, ...]:
        """All of their cells, failed ones included."""
        return tuple(
            record
            for row in self.datasets
            for column in self.methods
            for record in self.arrangement.own.get((row, column), ())
        )

    @property
    def caption(self) -> str:
        """What a reader must know of any number of theirs."""
        simulated = [row.label for row in self.rows if row.simulated]
        parts = []
        if simulated:
            every = len(simulated) == len(self.rows)
            who = "All patients" if every else f"The patients of {', '.join(simulated)}"
            parts.append(f"{who} are simulated.")
        elif any(record.simulated for record in self.records):
            parts.append("What methods learned from is simulated.")
        parts.append(f"Protocol {self.protocol.name}, version {self.protocol.version}.")
        if self.space == "native":
            parts.append("Scored on each scan's own voxels (native space).")
        if self.postprocessing.mark:
            parts.append(f"Post-processing: {self.postprocessing.explanation}.")
        return " ".join(parts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the methods, what failed, and why."""
        columns = self.columns
        said = (
            ("Supervised, which saw lesion masks in training", "supervised"),
            ("Controls, which are no detectors", "control"),
        )
        groups = [(text, [one for one in columns if one.group == group]) for text, group in said]
        groups.append(("Anomaly maps made elsewhere", [one for one in columns if one.elsewhere]))
        return (
            *(f"{text}: {', '.join(one.label for one in some)}." for text, some in groups if some),
            *trainings_note(self.arrangement, self.datasets, self.methods),
            *self.failures(*range(len(self.methods))),
        )

    def failures(self, *methods: int) -> tuple[str, ...]:
        """What of some of the methods failed, and why."""
        found = self.arrangement.own
        texts = (
            f"{one.method_title} failed on {row.title} with seed {one.spec.seed}: {one.reason}"
            for place, row in zip(self.datasets, self.rows, strict=True)
            for method in methods
            for one in found.get((place, self.methods[method]), ())
            if one.state == "failed"
        )
        return tuple(dict.fromkeys(texts))


def choose(records: Sequence[CellRecord], registry: Registry, question: Question) -> Chosen:
    """Find the cells that answer a question.

    Args:
        records: all cells of a results folder.
        registry: where their protocol and post-processing are found.
        question: what is asked.

    Raises:
        UadBenchError: a name that these results do not have, cells of one dataset that stand on
            different data, or numbers of another version of the protocol.
    """
    space = one_space(question.space)
    protocol = registry.protocol(
        _one("protocol", question.protocol, {r.spec.protocol for r in records}, "strict")
    )
    mine = [r for r in records if (r.spec.protocol, r.spec.space) == (protocol.name, space)]
    if not mine:
        raise UadBenchError(f"no results in {space} space under protocol {protocol.name}")
    variant = _one(
        "postprocessing", question.postprocessing, {r.spec.postprocessing for r in mine}, "none"
    )
    (postprocessing,) = registry.postprocessings({variant})
    mine = [record for record in mine if record.spec.postprocessing == variant]
    refuse_other_version(mine, [protocol], [postprocessing])
    arrangement = arrange(mine, (), [postprocessing], BERCEA_2022)
    where = f"under protocol {protocol.name} with post-processing {variant}"
    methods = _methods(arrangement, question.methods, where)
    chosen = Chosen(
        protocol=protocol,
        space=space,
        postprocessing=postprocessing,
        metric=_metric(protocol, mine, question.metric),
        arrangement=arrangement,
        methods=methods,
        datasets=_datasets(arrangement, question.datasets),
    )
    if text := different_data(chosen.arrangement, chosen.datasets, chosen.methods):
        raise UadBenchError(text)
    return chosen


def _one(flag: str, asked: str | None, there: set[str], usual: str) -> str:
    """The asked one of what is there, or else the usual or the only one."""
    listed = ", ".join(sorted(there))
    if asked is not None:
        if asked not in there:
            if len(asked.split(",")) > 1:
                raise UadBenchError(f"--{flag} {asked}: say one, of {listed}")
            raise UadBenchError(f"--{flag} {asked}: not in these results; available: {listed}")
        return asked
    if usual in there:
        return usual
    if len(there) > 1:
        raise UadBenchError(f"several were run: say --{flag} with one of {listed}")
    return next(iter(there))


def _metric(protocol: Protocol, records: Sequence[CellRecord], asked: str | None) -> MetricInfo:
    """The metric of that name."""
    known = {name for record in records for name in record.metrics}
    if not known:
        reason = next((record.reason for record in records if record.reason), "run them again")
        raise UadBenchError(f"no cell of protocol {protocol.name} has a number: {reason}")
    metric = protocol.metric(protocol.metrics[0].name if asked is None else asked)
    if metric.name not in known:
        raise UadBenchError(
            f"--metric {metric.name}: not in the results of protocol {protocol.name}; available: "
            f"{', '.join(sorted(known))}"
        )
    return metric


def _methods(arrangement: Arrangement, asked: Sequence[str], where: str) -> tuple[int, ...]:
    """Where the asked methods are; all of them where none is asked for.

    Args:
        arrangement: the methods that there are.
        asked: names.
        where: of which cells they are, in words.
    """
    columns = arrangement.columns
    if not asked:
        return tuple(range(len(columns)))
    found, problems = [], []
    for name in asked:
        places = [at for at, column in enumerate(columns) if name in _spellings(column)]
        if len(places) == 1:
            found += places
        elif places:
            several = " or ".join(_spellings(columns[at])[-1] for at in places)
            problems.append(f"{name} is several columns of the table: say {several}")
        else:
            known = sorted({column.method for column in columns})
            near = get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            problems.append(f"{name}: no such method {where}{hint}; available: {', '.join(known)}")
    twice = sorted({columns[at].label for at in found if found.count(at) > 1})
    problems += [f"{label} is named twice" for label in twice]
    if problems:
        raise UadBenchError("; ".join(problems))
    return tuple(found)


def _spellings(column: Column) -> tuple[str, ...]:
    """How a method may be named, as its cells' files are, the longest last."""
    on = f"-on-{column.supervised_on}" if column.supervised_on else ""
    return (
        column.method,
        f"{column.method}{on}",
        f"{column.method}-{column.params_hash}",
        f"{column.method}{on}-{column.params_hash}",
    )


def _datasets(arrangement: Arrangement, asked: Names | None) -> tuple[int, ...]:
    """Where the asked datasets are; all of them where none is asked for."""
    if asked is None:
        return tuple(range(len(arrangement.rows)))
    wanted = names("datasets", asked)
    known = {row.dataset for row in arrangement.rows}
    if unknown := [name for name in wanted if name not in known]:
        raise UadBenchError(
            f"--datasets {','.join(unknown)}: not in these results; available: "
            f"{', '.join(sorted(known))}"
        )
    return tuple(at for at, row in enumerate(arrangement.rows) if row.dataset in wanted)
