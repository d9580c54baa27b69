"""Execute a plan: detector after detector, dataset after dataset, cell after cell."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uad_bench.cells import CellRecord, CellSpec, DatasetUse, FitRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import ScoreHistogram
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol
from uad_bench.histogram_files import save_histograms
from uad_bench.method import Method, Params
from uad_bench.plugins.code import code_of
from uad_bench.results import ResultsFolder, read_cell, write_cell
from uad_bench.runner.atlas import refuse_leaks
from uad_bench.runner.data import Data, gather
from uad_bench.runner.detectors import Trainer
from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import CellScored, CellWritten, JobFailed, Listener, Noted, Started
from uad_bench.runner.failures import failure_reason
from uad_bench.runner.plan import Plan, PlannedMethod, wanted, write_plan
from uad_bench.runner.readiness import fallback_note, large_batches, refuse
from uad_bench.runner.scoring import AnomalyMaps, anomaly_maps
from uad_bench.system.disk import storage_error, write_whole
from uad_bench.tuning import Tuned


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        records: every cell of the plan, those from earlier runs included.
        computed: how many were computed now.
    """

    records: tuple[CellRecord, ...]
    computed: int

    @property
    def failed(self) -> tuple[CellRecord, ...]:
        """The cells that failed."""
        return tuple(record for record in self.records if record.state == "failed")


def execute(
    plan: Plan,
    results: ResultsFolder,
    device: str,
    tell: Listener,
    *,
    command: str,
) -> Outcome:
    """Compute every wanted cell of the plan. A failing method stops nobody but itself.

    Nothing is written to the results folder, nor deleted from it, before the prepared data have
    been found fit for the plan.

    Args:
        plan: what to do.
        results: where everything goes.
        device: the resolved torch device.
        tell: told about every step and every new cell.
        command: how to go on, for ``status``.

    Raises:
        UadBenchError: if the data cannot be used, the results folder holds these cells from other
            data, or the disk is full; finished cells stay.
    """
    data = gather(plan.config, plan.sources, tell)
    if plan.atlas is not None:
        refuse_leaks(plan.atlas, data, plan.sources.training.label)
    trained = [(planned.method.name, planned.params) for planned in plan.methods]
    refuse(large_batches(data.training, trained))
    trainer = Trainer(data.training, results, plan.config, device, tell, plan.atlas)
    run = _Run(plan, results, device, tell, data, trainer)
    titles = [one.method.title for one in plan.methods if trainer.falls_back(one.method)]
    if titles and fallback_note(titles) not in plan.notes:
        tell(Noted(fallback_note(titles)))
    for planned in plan.methods:
        if not planned.tuned:  # the cells of others are known once they are tuned
            run.refuse_other_data(planned, planned.params)
    write_plan(plan, results, command)
    for planned in plan.methods:
        run.method(planned)
    return Outcome(tuple(run.records), run.computed)


@dataclass(frozen=True, slots=True)
class _Trained:
    """A detector, how it came to be, and its scores on healthy validation scans."""

    detector: Method
    fit: FitRecord
    validation: Mapping[str, ScoreHistogram]


@dataclass(slots=True)
class _Run:
    """The state of one execution."""

    plan: Plan
    results: ResultsFolder
    device: str
    tell: Listener
    data: Data
    trainer: Trainer
    records: list[CellRecord] = field(default_factory=list)
    computed: int = 0

    def method(self, planned: PlannedMethod) -> None:
        """Tune one method, then every seed of it."""
        watch = Stopwatch(self.device)
        params, tuned = planned.params, None
        try:
            if planned.tuned:
                params, tuned = self.trainer.tune(planned.method, planned.params)
        except Exception as error:
            reason = failure_reason(error)
            for seed in planned.seeds:
                todo = self._todo(planned.method, params, seed)
                specs = [spec for some in todo.values() for spec in some]
                self._fail(planned.method, specs, reason, watch, error)
            return
        if planned.tuned:
            self.refuse_other_data(planned, params)
        for seed in planned.seeds:
            self._seed(planned.method, params, seed, tuned)

    def refuse_other_data(self, planned: PlannedMethod, params: Params) -> None:
        """Refuse to go on where a finished cell stands on other data, prior or protocol version.

        Cells that another code of the method computed are told, because they are computed anew.

        Raises:
            UadBenchError: naming the first such cell. Its number is neither passed off as this
                run's nor replaced, unless everything is to be computed again. So are cells of
                another code, where finished cells are to be kept.
        """
        if self.plan.config.overwrite == "all":
            return
        changed = 0
        training = self.data.training.manifest_hash
        for seed in planned.seeds:
            detector = self.trainer.key(planned.method, params, seed)
            for label, dataset in self.data.evaluated.items():
                for spec in self._specs(planned.method, params, seed, label):
                    path = self.results.cell(spec.name)
                    record = read_cell(path) if path.is_file() else None
                    if record is None or record.training is None or record.data is None:
                        continue
                    self._refuse_other_version(record, path)
                    stored = (record.training.manifest_hash, record.data.manifest_hash)
                    if stored != (training, dataset.manifest_hash):
                        raise UadBenchError(
                            f"{path} stands on other data than this run (other scans, phantoms, "
                            "anatomies, limit or recipe): give this run its own --results folder, "
                            "or replace the cells with --overwrite all"
                        )
                    if record.code != planned.code.hash:
                        changed += 1
                    elif record.fit is not None and record.fit.detector != detector:
                        raise UadBenchError(
                            f"{path} stands on another tissue prior than this run (--atlas): give "
                            "this run its own --results folder, or replace the cells with "
                            "--overwrite all"
                        )

        if changed:
            self._tell_other_code(planned.method.name, changed)

    def _tell_other_code(self, name: str, cells: int) -> None:
        """Say that a method's code changed, and what becomes of the cells of the old one."""
        counted = "1 cell" if cells == 1 else f"{cells} cells"
        text = f"the code of {name} changed since {counted} of it came to be"
        overwrite = self.plan.config.overwrite
        if overwrite != "missing":
            raise UadBenchError(
                f"{text}, and --overwrite {overwrite} keeps what is there: compute it anew with "
                "--overwrite missing, or give this run its own --results folder"
            )
        self.tell(Noted(f"{text}: computed anew"))

    def _refuse_other_version(self, record: CellRecord, path: Path) -> None:
        protocol, variant = self._protocol(record.spec), self._postprocessing(record.spec)
        versions = (
            (f"protocol {protocol.name}", record.protocol_version, protocol.version),
            (f"post-processing {variant.name}", record.postprocessing_version, variant.version),
        )
        for what, stored, version in versions:
            if stored != version:
                raise UadBenchError(
                    f"{path} follows {what}, version {stored}, and this run computes version "
                    f"{version}: give this run its own --results folder, or replace the cells with "
                    "--overwrite all"
                )

    def _todo(self, method: type[Method], params: Params, seed: int) -> dict[str, list[CellSpec]]:
        """The wanted cells of one detector by dataset. Records of the others are taken along."""
        todo: dict[str, list[CellSpec]] = {}
        code = code_of(method).hash
        for label in self.data.evaluated:
            for spec in self._specs(method, params, seed, label):
                if wanted(spec, code, self.results, self.plan.config.overwrite):
                    todo.setdefault(label, []).append(spec)
                elif (path := self.results.cell(spec.name)).is_file():
                    self.records.append(read_cell(path))
        return todo

    def _seed(self, method: type[Method], params: Params, seed: int, tuned: Tuned | None) -> None:
        """Train one detector and evaluate it on every dataset that still wants it."""
        todo = self._todo(method, params, seed)
        if not todo:
            return
        watch = Stopwatch(self.device)
        try:
            detector, fit = self.trainer.detector(method, params, seed, tuned)
            specs = [spec for some in todo.values() for spec in some]
            validation = self.trainer.validation(
                detector, fit, self._variants(specs), self.plan.config.space
            )
        except Exception as error:
            reason = failure_reason(error)
            self._fail(method, [s for some in todo.values() for s in some], reason, watch, error)
            return
        for label, specs in todo.items():
            self._dataset(_Trained(detector, fit, validation), label, specs)

    def _dataset(self, trained: _Trained, label: str, specs: list[CellSpec]) -> None:
        """Score one dataset once and write all of its cells."""
        watch = Stopwatch(self.device)
        dataset, detector = self.data.evaluated[label], trained.detector
        self.tell(Started(f"evaluate {detector.name}, seed {specs[0].seed}, on {label}"))
        variants = self._variants(specs)
        try:
            with anomaly_maps(detector, dataset, "test", variants, self.tell) as maps:
                for spec in specs:
                    record = self._cell(trained, spec, maps, watch)
                    self._keep(record)
        except Exception as error:
            reason = failure_reason(error)
            done = {record.spec.name for record in self.records}
            left = [spec for spec in specs if spec.name not in done]
            self._fail(type(detector), left, reason, watch, error)

    def _cell(
        self, trained: _Trained, spec: CellSpec, maps: AnomalyMaps, watch: Stopwatch
    ) -> CellRecord:
        """Evaluate one cell and write its histograms and picture."""
        found = self._protocol(spec).evaluate(
            lambda: maps.scored(spec.postprocessing, spec.space),
            trained.validation[spec.postprocessing],
        )
        histograms = self.results.histograms / f"{spec.name}.npz"
        _written(lambda: save_histograms(histograms, found.histograms), self.results)
        record = self._record(type(trained.detector), spec, watch, "done").model_copy(
            update={
                "data": maps.dataset.use("test"),
                "fit": trained.fit,
                "thresholds": found.thresholds,
                "metrics": found.metrics,
                "scans": found.scans,
                "histograms": str(histograms.relative_to(self.results.root)),
                "notes": maps.orderings[spec.postprocessing].faults,
            }
        )
        mark = self._postprocessing(spec).mark
        self.tell(CellScored(record, maps.example, mark))
        return record

    def _protocol(self, spec: CellSpec) -> Protocol:
        return next(one for one in self.plan.protocols if one.name == spec.protocol)

    def _postprocessing(self, spec: CellSpec) -> PostProcessing:
        return next(one for one in self.plan.postprocessings if one.name == spec.postprocessing)

    def _variants(self, specs: Sequence[CellSpec]) -> list[PostProcessing]:
        """The post-processings of some cells."""
        names = {spec.postprocessing for spec in specs}
        return [one for one in self.plan.postprocessings if one.name in names]

    def _specs(self, method: type[Method], params: Params, seed: int, label: str) -> list[CellSpec]:
        """The cells of one detector on one dataset."""
        return [
            CellSpec(
                method=method.name,
                params=params.model_dump(mode="json"),
                seed=seed,
                dataset=label,
                protocol=protocol.name,
                postprocessing=postprocessing.name,
                space=self.plan.config.space,
            )
            for protocol in self.plan.protocols
            for postprocessing in self.plan.postprocessings
        ]

    def _fail(
        self,
        method: type[Method],
        specs: list[CellSpec],
        reason: str,
        watch: Stopwatch,
        error: Exception,
    ) -> None:
        """Write failed cells with their reason, and the traceback beside the results."""
        trace = "".join(traceback.format_exception(error))
        for spec in specs:
            write_whole(self.results.root / "failures" / f"{spec.name}.txt", trace.encode())
            record = self._record(method, spec, watch, "failed")
            self._keep(record.model_copy(update={"reason": reason}))
        self.tell(JobFailed(method.name, reason))

    def _record(
        self, method: type[Method], spec: CellSpec, watch: Stopwatch, state: str
    ) -> CellRecord:
        return CellRecord.model_validate(
            {
                "spec": spec,
                "protocol_version": self._protocol(spec).version,
                "postprocessing_version": self._postprocessing(spec).version,
                "state": state,
                "method_title": method.title,
                "control": method.control,
                "supervised": method.supervised,
                "training": self._training_use(),
                "code": code_of(method).hash,
                "environment": watch.read(),
            }
        )

    def _training_use(self) -> DatasetUse:
        return self.data.training.use("train")

    def _keep(self, record: CellRecord) -> None:
        """Write one record and tell whoever follows."""
        write_cell(self.results, record)
        self.records.append(record)
        self.computed += 1
        self.tell(CellWritten(record))


def _written(write: Callable[[], None], results: ResultsFolder) -> None:
    """Run ``write`` and turn a failed write into a line for the user."""
    try:
        write()
    except OSError as error:
        raise storage_error(error, results.root) from error
