"""What a run will do: its methods, its cells and its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from uad_bench.cells import EvaluationSpace
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol
from uad_bench.method import Method, Params, members_of
from uad_bench.plugins.code import Code
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.sources import Sources
from uad_bench.runner.detectors.params import given_params, tunable
from uad_bench.runner.plan.job import CheckData, Evaluate, Job, Train, Tune, in_order
from uad_bench.system.disk import write_whole
from uad_bench.system.text import without_passwords
from uad_bench.volumes.store.atlas import Atlas


class PlannedCell(BaseModel):
    """A cell before tuning: ``params`` holds only what tuning cannot change."""

    model_config = ConfigDict(frozen=True)

    method: str
    supervised_on: str = ""
    params: dict[str, object]
    seed: int
    dataset: str
    protocol: str
    postprocessing: str
    space: EvaluationSpace = "template"
    code: str


class PlanFile(BaseModel):
    """What ``status`` reads: the last run's command, the folder it was given in, and its cells."""

    command: str
    folder: str = ""
    cells: tuple[PlannedCell, ...]


@dataclass(frozen=True, slots=True)
class PlannedMethod:
    """One method of a run with its parameters before tuning, its seeds and its code.

    A supervised method is planned once for each dataset that it learns from.
    """

    method: type[Method]
    params: Params
    seeds: tuple[int, ...]
    tuned: bool
    code: Code
    supervised_on: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run will do.

    Attributes:
        methods: the methods, in the order of execution.
        protocols: the protocols.
        postprocessings: the post-processings.
        sources: the datasets.
        config: what was asked.
        atlas: the tissue prior of all methods that need one; that of the training dataset itself
            if ``None``.
        notes: what the user should know before any work.
    """

    methods: tuple[PlannedMethod, ...]
    protocols: tuple[Protocol, ...]
    postprocessings: tuple[PostProcessing, ...]
    sources: Sources
    config: RunConfig
    atlas: Atlas | None = None
    notes: tuple[str, ...] = ()

    def cells(self) -> Iterator[PlannedCell]:
        """Every cell, in the order of execution."""
        for planned in self.methods:
            open_ = tunable(planned.method) if planned.tuned else set()
            if not members_of(planned.method):
                open_ -= set(given_params(self.config.param, planned.method))
            fixed = planned.params.model_dump(mode="json", exclude=open_)
            for seed in planned.seeds:
                for source in self.sources.evaluated:
                    for protocol in self.protocols:
                        for postprocessing in self.postprocessings:
                            yield PlannedCell(
                                method=planned.method.info.name,
                                supervised_on=planned.supervised_on,
                                params=fixed,
                                seed=seed,
                                dataset=source.label,
                                protocol=protocol.name,
                                postprocessing=postprocessing.name,
                                space=self.config.space,
                                code=planned.code.hash,
                            )

    def jobs(self) -> tuple[Job, ...]:
        """Every job, in the order of execution; a method is evaluated as soon as it is trained."""
        trained = ((one.method, one.supervised_on, one.params) for one in self.methods)
        data = CheckData.of(self.sources, trained)
        labels = tuple(source.label for source in self.sources.evaluated)
        jobs: list[Job] = []
        for planned in self.methods:
            method, params, on = planned.method, planned.params, planned.supervised_on
            tune = Tune(method, params, data, on) if planned.tuned else None
            for seed in planned.seeds:
                train = Train(method, params, seed, data, tune, labels or None, supervised_on=on)
                jobs += [train, *(Evaluate(data, train, label) for label in labels)]
        return in_order(jobs)

    def tunings(self) -> tuple[Job, ...]:
        """The jobs that choose parameters, and what they need."""
        trainings = (job for job in self.jobs() if isinstance(job, Train))
        return in_order(job.tune for job in trainings if job.tune is not None)


def write_plan(plan: Plan, results: ResultsFolder, command: str) -> None:
    """Leave the plan in the results folder, for ``status``, and its settings, for ``reproduce``."""
    said = without_passwords(command)
    file = PlanFile(command=said, folder=str(Path.cwd()), cells=tuple(plan.cells()))
    write_whole(results.plan, (file.model_dump_json() + "\n").encode())
    settings = json.dumps(plan.config.repeatable, indent=1)
    write_whole(results.runs / f"{plan.config.run_name}.json", f"{settings}\n".encode())
