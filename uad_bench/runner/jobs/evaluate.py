"""Evaluating: a dataset is scored once, whole or in parts, and every pending cell is written."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from uad_bench.cells import CellSpec, FitRecord
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.scored import Evaluation, MeasuredScan
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.method import Method, Params
from uad_bench.plugins.code import code_of
from uad_bench.runner.data.gather import Data
from uad_bench.runner.detectors.scoring import AnomalyMaps, anomaly_maps
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.detectors.traits import scan_traits
from uad_bench.runner.environment import Stopwatch, git_commit, versions
from uad_bench.runner.events import Started
from uad_bench.runner.executors.contract import Done, Failure
from uad_bench.runner.jobs.cells import Evaluated, Scored, Scorer, write_cells
from uad_bench.runner.jobs.parts import EvaluatedPart, PartFolder, PartRecord
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.train import Trained
from uad_bench.runner.plan.job import Evaluate, EvaluatePart
from uad_bench.runner.store import Origin
from uad_bench.volumes.store.prepared import PreparedDataset

T = TypeVar("T")


def evaluate_dataset(job: Evaluate, done: Done, setting: Setting) -> Evaluated:
    """Score a dataset with a detector, or put its parts together, and write every pending cell."""
    task = _Task.of(job, done, setting)
    if not task.pending:
        return Evaluated(setting.store.kept(task.specs, task.pending), 0)
    watch = Stopwatch(setting.device)
    setting.tell(Started(job.name))
    if parts := [one.folder for one in done.all_of(EvaluatedPart) if one.folder is not None]:
        return _put_together(task, parts, watch, setting)
    fitted, fit = task.detector()
    scorer = Scorer(task.origin(fit), task.validation(fitted, fit), watch)
    with anomaly_maps(fitted, task.dataset, "test", task.variants, setting.tell) as maps:
        scored = Scored.of(maps, scorer, setting)
        return write_cells(scorer, scored, task.specs, task.pending, setting)


def evaluate_part(job: EvaluatePart, done: Done, setting: Setting) -> EvaluatedPart:
    """Score and measure some scans of a dataset, and keep what comes out."""
    task = _Task.of(job.whole, done, setting)
    if not task.pending:
        return EvaluatedPart(None)
    folder = task.folder(job.first, job.last)
    read_again = task.variants if task.is_read_again else ()
    if folder.holds(task.pending, [one.name for one in read_again]):
        return EvaluatedPart(folder.path)
    watch = Stopwatch(setting.device)
    setting.tell(Started(job.name))
    folder.clear()
    fitted, fit = task.detector()
    validation = task.validation(fitted, fit)
    with anomaly_maps(
        fitted,
        task.dataset,
        "test",
        task.variants,
        setting.tell,
        some=slice(job.first, job.last),
        folder=folder.path if read_again else None,
    ) as maps:
        for spec in task.pending:
            try:
                folder.keep(spec, _measured(spec, maps, validation, setting))
            except Exception as error:  # of one cell; the others go on
                folder.keep_failure(spec, Failure.of(error, watch.read()))
        record = PartRecord(
            traits=scan_traits(task.dataset, maps.scans),
            orderings={name: tuple(found) for name, found in maps.orderings.items()},
            shapes={
                one.name: tuple(levels.shape for levels in maps.levels[one.name])
                for one in read_again
            },
            example=None if maps.example is None else maps.example.scan,
            environment=watch.read(),
        )
        folder.write(record, maps.example)
    return EvaluatedPart(folder.path)


def _measured(
    spec: CellSpec,
    maps: AnomalyMaps,
    validation: Mapping[str, ScoreHistogram],
    setting: Setting,
) -> Iterator[MeasuredScan]:
    """Measure scan after scan for one cell."""
    measure, variant = setting.store.protocol(spec).measure, spec.postprocessing
    for scan in maps.scored(variant, spec.space):
        yield measure(scan, validation.get(variant))


def _put_together(
    task: _Task, parts: Sequence[Path], watch: Stopwatch, setting: Setting
) -> Evaluated:
    """Write the pending cells of a dataset whose parts are done."""
    folders = [PartFolder(one) for one in parts]
    found = [(folder, folder.read()) for folder in folders]
    fit = task.record()
    validation = task.trainer.kept_validation(fit, task.variants, setting.config.space)
    examples = (folder.example(part) for folder, part in found)
    maps = AnomalyMaps(
        task.dataset,
        task.dataset.scans_of("test"),
        "template",
        _chained(folder.levels(part) for folder, part in found),
        next((one for one in examples if one is not None), None),
        _chained(part.orderings for _, part in found),
        (),
        folders[0].path.parent,
    )

    def evaluation(spec: CellSpec) -> Evaluation | Failure:
        measured: list[MeasuredScan] = []
        for folder in folders:
            some = folder.measured(spec)
            if isinstance(some, Failure):
                return some
            measured += some
        variant = spec.postprocessing
        return setting.store.protocol(spec).combined(
            measured, lambda: maps.scored(variant, spec.space), validation.get(variant)
        )

    before = tuple(part.environment for _, part in found)
    scorer = Scorer(task.origin(fit), validation, watch, before)
    traits = tuple(one for _, part in found for one in part.traits)
    scored = Scored(task.dataset, traits, maps.orderings, maps.example, evaluation)
    done = write_cells(scorer, scored, task.specs, task.pending, setting)
    shutil.rmtree(folders[0].path.parent, ignore_errors=True)
    return done


def _chained(some: Iterable[Mapping[str, Sequence[T]]]) -> dict[str, list[T]]:
    """Put the values of each name behind each other."""
    found: defaultdict[str, list[T]] = defaultdict(list)
    for one in some:
        for name, values in one.items():
            found[name] += values
    return found


@dataclass(frozen=True, slots=True)
class _Task:
    """The cells of a detector on a dataset, and where both come from.

    Attributes:
        job: which detector, and which dataset.
        params: the parameters of the detector.
        setting: what all jobs share.
        data: the data.
        trainer: what keeps the detector.
        specs: the cells.
        pending: those that are to be computed.
    """

    job: Evaluate
    params: Params
    setting: Setting
    data: Data
    trainer: Trainer
    specs: tuple[CellSpec, ...]
    pending: tuple[CellSpec, ...]

    @classmethod
    def of(cls, job: Evaluate, done: Done, setting: Setting) -> _Task:
        """Find which cells are pending."""
        train, store = job.train, setting.store
        method, on = train.method, train.supervised_on
        data, params = done.of(job.data, Data), done.of(train, Trained).params
        specs = store.specs(method.info.name, on, params, train.seed, job.label)
        pending = store.pending(code_of(method).hash, specs)
        return cls(job, params, setting, data, setting.trainer(data, on), specs, pending)

    @property
    def dataset(self) -> PreparedDataset:
        """The dataset that is scored."""
        return self.data.tested(self.job.train.supervised_on, self.job.label)

    @property
    def variants(self) -> tuple[PostProcessing, ...]:
        """The post-processings of the pending cells."""
        return self.setting.store.variants(self.pending)

    @property
    def is_read_again(self) -> bool:
        """Whether a protocol of the pending cells reads the scans again."""
        return any(self.setting.store.protocol(spec).reads_again for spec in self.pending)

    def detector(self) -> tuple[Method, FitRecord]:
        """Load the detector."""
        return self.trainer.stored(self.job.train.method, self.params, self.job.train.seed)

    def record(self) -> FitRecord:
        """How the detector came to be."""
        return self.trainer.record_of(self.job.train.method, self.params, self.job.train.seed)

    def validation(self, detector: Method, fit: FitRecord) -> dict[str, ScoreHistogram]:
        """The scores of healthy validation scans, by post-processing."""
        space = self.setting.config.space
        return self.trainer.validation(detector, fit, self.variants, space)

    def origin(self, fit: FitRecord) -> Origin:
        """What the cells say that their scores came from."""
        learned = self.data.learned(self.job.train.supervised_on)
        return Origin.of(self.job.train.method, learned.use("train"), fit)

    def folder(self, first: int, last: int) -> PartFolder:
        """The folder of some scans, named by everything that their numbers depend on."""
        store = self.setting.store
        stands_on = [
            self.record().model_dump(mode="json"),
            self.dataset.manifest_hash,
            self.setting.config.space,
            [(one.name, one.version) for one in store.protocols],
            [(one.name, one.version) for one in store.postprocessings],
            versions(),
            git_commit(),
        ]
        return PartFolder.of(store.results.parts, stands_on, first, last)
