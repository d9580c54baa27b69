"""Evaluating: a detector scores a dataset once, and every pending cell of the two is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uad_bench.cells import CellRecord, CellSpec, DatasetUse, FitRecord
from uad_bench.evaluation.histograms import ScoreHistogram
from uad_bench.histogram_files import save_histograms
from uad_bench.method import Method
from uad_bench.runner.data.gather import Data
from uad_bench.runner.detectors.scoring import AnomalyMaps, anomaly_maps
from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import CellScored, JobFailed, Started
from uad_bench.runner.executor import Done, Failure
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.train import Trained
from uad_bench.runner.plan.job import Evaluate


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The cells of one detector on one dataset.

    Attributes:
        records: the cells, those from earlier runs included.
        computed: how many were computed now.
    """

    records: tuple[CellRecord, ...]
    computed: int


@dataclass(frozen=True, slots=True)
class _Detector:
    """A detector, how it came to be, and its scores on healthy validation scans."""

    method: type[Method]
    training: DatasetUse
    fit: FitRecord
    validation: Mapping[str, ScoreHistogram]
    watch: Stopwatch


def evaluate_dataset(job: Evaluate, done: Done, setting: Setting) -> Evaluated:
    """Score a dataset with a detector, and write every cell that is pending."""
    method, params = job.train.method, done.of(job.train, Trained).params
    data, store = done.of(job.train.data, Data), setting.store
    specs = store.specs(method, params, job.train.seed, job.label)
    pending = store.pending(method, specs)
    kept = [store.stored(spec) for spec in specs if spec not in pending]
    records = [record for record in kept if record is not None]
    if not pending:
        return Evaluated(tuple(records), 0)
    watch = Stopwatch(setting.device)
    setting.tell(Started(job.name))
    trainer = setting.trainer(data)
    fitted, fit = trainer.stored(method, params, job.train.seed)
    variants = store.variants(pending)
    validation = trainer.validation(fitted, fit, variants, setting.config.space)
    detector = _Detector(method, data.training.use("train"), fit, validation, watch)
    dataset = data.evaluated[job.label]
    with anomaly_maps(fitted, dataset, "test", variants, setting.tell) as maps:
        for spec in pending:
            records.append(_cell(detector, spec, maps, setting))
    return Evaluated(tuple(records), len(pending))


def _cell(detector: _Detector, spec: CellSpec, maps: AnomalyMaps, setting: Setting) -> CellRecord:
    """Compute and write one cell; one that fails stops none of the others."""
    method, training, store = detector.method, detector.training, setting.store
    try:
        found = store.protocol(spec).evaluate(
            lambda: maps.scored(spec.postprocessing, spec.space),
            detector.validation[spec.postprocessing],
        )
        file = store.results.histograms / f"{spec.name}.npz"
        save_histograms(file, found.histograms)
        record = store.new_record(
            method,
            spec,
            training,
            detector.watch.read(),
            state="done",
            data=maps.dataset.use("test"),
            fit=detector.fit,
            thresholds=found.thresholds,
            metrics=found.metrics,
            scans=found.scans,
            histograms=str(file.relative_to(store.results.root)),
            notes=maps.orderings[spec.postprocessing].faults,
        )
    except Exception as error:
        failure = Failure.of(error, detector.watch.read())
        setting.tell(JobFailed(f"{method.info.name} on {spec.dataset}", failure.reason))
        return store.write_failed(method, spec, training, failure)
    (variant,) = store.variants([spec])
    setting.tell(CellScored(record, maps.example, variant.mark))
    return store.write(record)
