"""Detectors: train once, keep, load again. A detector that is stored is never retrained."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from uad_bench.cells import EvaluationSpace, FitRecord, short_hash
from uad_bench.dataset import Split
from uad_bench.errors import RunError, UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import validation_histogram
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.histogram_files import load_histograms, save_histograms
from uad_bench.method import (
    Checkpoint,
    EnsembleMethod,
    FitContext,
    FitReport,
    Method,
    Params,
    Slices,
    TissuePrior,
)
from uad_bench.plugins.code import code_of, source_of
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig
from uad_bench.runner.detectors.checkpoints import Checkpoints
from uad_bench.runner.detectors.folder import (
    VALIDATION,
    DetectorRecord,
    histogram_key,
    is_detector,
    read_detector,
    read_record,
    write_detector,
)
from uad_bench.runner.detectors.params import shared_params
from uad_bench.runner.detectors.scoring import anomaly_maps
from uad_bench.runner.detectors.trainings import trainings
from uad_bench.runner.environment import versions
from uad_bench.runner.events import Listener, Progressed, Started
from uad_bench.study_record import StudyRecord
from uad_bench.volumes.store.atlas import Atlas
from uad_bench.volumes.store.prepared import PreparedDataset
from uad_bench.volumes.store.tissue_prior import prior_subjects, tissue_prior


def _ignore(step: int, values: Mapping[str, float]) -> None:
    """Do nothing at a check."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains the methods of one run on one training dataset.

    Attributes:
        training: the prepared dataset that methods learn from; of patients for supervised ones.
        healthy: the prepared healthy dataset, whose validation scans thresholds come from.
        results: where detectors and tuning studies are kept.
        config: the run.
        device: the resolved torch device.
        tell: told about every step.
        atlas: the tissue prior of every method that needs one; by default the training dataset's.
    """

    training: PreparedDataset
    healthy: PreparedDataset
    results: ResultsFolder
    config: RunConfig
    device: str
    tell: Listener
    atlas: Atlas | None = None

    def detector(
        self,
        method: type[Method],
        params: Params,
        seed: int,
        tuned: StudyRecord | None,
        studies: tuple[str, ...] = (),
    ) -> tuple[Method, FitRecord]:
        """Train a detector, go on with a training that was killed, or load one that is kept.

        Args:
            method: the method.
            params: its parameters.
            seed: of the training.
            tuned: the study that chose them; ``None`` without one, and of an ensemble.
            studies: the names of all studies behind them.
        """
        key = self.key(method, params, seed)
        folder = self.results.detectors / key
        what = f"train {self.named(method)}, seed {seed}"
        checkpoints = Checkpoints(folder, what, self.device, self.tell)
        if is_detector(folder):
            found = self._found(method, params, seed)
            checkpoints.remove()
            return found
        self.tell(Started(what))
        fitted, report, wall_s = self._fitted(
            method, params, seed, checkpoints, tuned=tuned, studies=studies
        )
        record = FitRecord(
            detector=key,
            steps=report.steps,
            slices_seen=report.slices_seen,
            validation=dict(report.validation),
            wall_s=round(checkpoints.earlier_s + wall_s, 3),
            tuned={} if tuned is None else tuned.params,
            trials=0 if tuned is None else len(tuned.trials),
            objective="" if tuned is None else tuned.objective,
            choice="" if tuned is None else tuned.reason,
            studies=studies,
            curves={name: tuple(points) for name, points in report.curves.items()},
            simulated_prior=(
                self.atlas is not None
                and self.atlas.manifest.simulated
                and "tissue_prior" in method.info.needs
            ),
            fallback_prior=self.falls_back(method),
            notes=report.notes,
        )
        write_detector(folder, fitted, self._described(fitted, seed, record))
        checkpoints.remove()
        return fitted, record

    def _found(self, method: type[Method], params: Params, seed: int) -> tuple[Method, FitRecord]:
        """Restore a detector that is kept; one that cannot be says how the next run trains it."""
        try:
            return self.stored(method, params, seed)
        except RunError:
            raise
        except UadBenchError as error:
            folder = self.results.detectors / self.key(method, params, seed)
            again = f"delete {folder}, and the same command trains it"
            raise UadBenchError(f"{error}: {again}") from error

    def forget(self, method: type[Method], params: Params, seed: int, forgotten: set[str]) -> None:
        """Remove a detector, those that it is made from, and their checkpoints, to train anew.

        Args:
            method: the method.
            params: its parameters.
            seed: of the training.
            forgotten: the keys of detectors that were removed, and may be there anew; grows.
        """
        if (key := self.key(method, params, seed)) in forgotten:
            return
        forgotten.add(key)
        folder = self.results.detectors / key
        Checkpoints(folder, "", self.device, self.tell).remove()
        shutil.rmtree(folder, ignore_errors=True)
        if issubclass(method, EnsembleMethod):
            for member in method(params).detectors(seed):
                self.forget(*member, forgotten)
        elif method.trained_as is not None:
            base = method.trained_as
            self.forget(base, shared_params(base, params), seed, forgotten)

    def trainings(self, method: type[Method], params: Params, seed: int) -> Iterator[str]:
        """Yield the keys of the detectors that are trained for one: itself, or those it shares."""
        for one in trainings(method, params, seed):
            yield self.key(*one)

    def _fitted(
        self,
        method: type[Method],
        params: Params,
        seed: int,
        checkpoints: Checkpoints,
        *,
        tuned: StudyRecord | None,
        studies: tuple[str, ...],
    ) -> tuple[Method, FitReport, float]:
        """Train a method, or take the training that it shares, and let it calibrate itself.

        Returns:
            The method, its report, and the seconds that it took in this process; those of a shared
            training count.
        """
        before, started = 0.0, time.perf_counter()
        fitted: Method
        if issubclass(method, EnsembleMethod):
            fitted, report, before = self._joined(method, params, seed)
            started = time.perf_counter()
        elif method.trained_as is None:
            fitted, report = self.fit(method, params, seed, checkpoints)
        else:
            own = shared_params(method.trained_as, params)
            base, fit = self.detector(method.trained_as, own, seed, tuned, studies)
            before, started = fit.wall_s, time.perf_counter()
            fitted = method(params)
            fitted.load(base.state(), self.device)
            report = FitReport(
                steps=fit.steps,
                slices_seen=fit.slices_seen,
                validation=fit.validation,
                curves=fit.curves,
                notes=(*fit.notes, f"trained as {base.info.name}"),
            )
        chosen = fitted.calibrate(
            self.healthy.split("validation"), FitContext(seed=seed, device=self.device)
        )
        wall_s = before + time.perf_counter() - started
        return fitted, replace(report, notes=(*report.notes, *chosen)), wall_s

    def _joined(
        self, method: type[EnsembleMethod], params: Params, seed: int
    ) -> tuple[EnsembleMethod, FitReport, float]:
        """Train the members of an ensemble, or take those that are there.

        Returns:
            The ensemble, what its trainings amounted to, and the seconds that they took.
        """
        fitted = method(params)
        found = [self._member(*one) for one in fitted.detectors(seed)]
        fitted.join([member for member, _ in found])
        records = [record for _, record in found]
        report = FitReport(
            steps=sum(record.steps for record in records),
            slices_seen=sum(record.slices_seen for record in records),
            notes=tuple(f"member {record.detector}" for record in records),
        )
        return fitted, report, sum(record.wall_s for record in records)

    def _member(self, method: type[Method], params: Params, seed: int) -> tuple[Method, FitRecord]:
        """Train one member of an ensemble, or load it; a failure says whose it is."""
        try:
            return self.detector(method, params, seed, None)
        except RunError:
            raise
        except UadBenchError as error:
            name = f"member {self.named(method)}, seed {seed}"
            raise UadBenchError(f"{name}: {error}") from error

    def _described(self, fitted: Method, seed: int, fit: FitRecord) -> DetectorRecord:
        """What the folder of a detector says of it."""
        method, template = type(fitted), self.config.template
        atlas = self.atlas if "tissue_prior" in method.info.needs else None
        return DetectorRecord(
            method=method.info.name,
            title=method.info.title,
            params=fitted.params.model_dump(mode="json"),
            seed=seed,
            code=code_of(method).hash,
            source=source_of(method),
            training=self.training.use("train"),
            recipe=self.training.recipe,
            template=None if template is None else template.absolute(),
            atlas=None if atlas is None else atlas.hash,
            fit=fit,
            versions=versions(),
        )

    def stored(self, method: type[Method], params: Params, seed: int) -> tuple[Method, FitRecord]:
        """Restore a detector that is kept, and how it came to be."""
        folder = self.results.detectors / self.key(method, params, seed)
        kept = read_record(folder)
        return read_detector(folder, method, kept, self.device), kept.fit

    def record_of(self, method: type[Method], params: Params, seed: int) -> FitRecord:
        """How a detector that is kept came to be."""
        return read_record(self.results.detectors / self.key(method, params, seed)).fit

    def validation(
        self,
        detector: Method,
        fit: FitRecord,
        variants: Sequence[PostProcessing],
        space: EvaluationSpace = "template",
    ) -> dict[str, ScoreHistogram]:
        """Score histograms of healthy validation scans, by post-processing; kept with the detector.

        In native space they are those of the scans' own voxels, so that 1 % means the same voxels.
        """
        file = self._validation_file(fit, space)
        known = load_histograms(file) if file.is_file() else {}
        keys = {variant.name: histogram_key(variant) for variant in variants}
        missing = [variant for variant in variants if keys[variant.name] not in known]
        if missing:
            self.tell(Started(f"score healthy validation with {self.named(type(detector))}"))
            with anomaly_maps(detector, self.healthy, "validation", missing, self.tell) as maps:
                for variant in missing:
                    scans = maps.scored(variant.name, space)
                    known[keys[variant.name]] = validation_histogram(scans)
            save_histograms(file, known)
        return {name: known[key] for name, key in keys.items()}

    def kept_validation(
        self, fit: FitRecord, variants: Sequence[PostProcessing], space: EvaluationSpace
    ) -> dict[str, ScoreHistogram]:
        """Those of :meth:`validation` that were kept, which all are once a scan was evaluated."""
        known = load_histograms(self._validation_file(fit, space))
        return {variant.name: known[histogram_key(variant)] for variant in variants}

    def _validation_file(self, fit: FitRecord, space: EvaluationSpace) -> Path:
        name = "validation-native.npz" if space == "native" else VALIDATION
        return self.results.detectors / fit.detector / name

    def falls_back(self, method: type[Method]) -> bool:
        """Whether a method's tissue prior is the template's, for want of subjects with maps."""
        if "tissue_prior" not in method.info.needs:
            return False
        if self.atlas is not None:
            return self.atlas.manifest.fallback
        return not prior_subjects(self.healthy)

    def key(self, method: type[Method], params: Params, seed: int) -> str:
        """What identifies a detector: method, its code, parameters, seed, data, and any atlas."""
        values = [method.info.name, params.model_dump(mode="json"), seed, *self.stands_on(method)]
        return f"{method.info.name}-s{seed}-{short_hash(values)}"

    def named(self, method: type[Method]) -> str:
        """What progress calls a method: a supervised one with the dataset that it learns from."""
        on = f" supervised on {self.training.name}" if method.info.supervised else ""
        return f"{method.info.name}{on}"

    def stands_on(self, method: type[Method]) -> tuple[str, ...]:
        """Hashes of the code of ``method`` and of the data that its detectors learn from.

        The training dataset's own prior follows from the dataset and needs no hash.
        """
        learned = dict.fromkeys((self.training.manifest_hash, self.healthy.manifest_hash))
        own = (*learned, code_of(method).hash)
        if self.atlas is None or "tissue_prior" not in method.info.needs:
            return own
        return *own, self.atlas.hash

    def _prior(self, method: type[Method]) -> TissuePrior | None:
        if "tissue_prior" not in method.info.needs:
            return None
        return tissue_prior(self.healthy) if self.atlas is None else self.atlas.prior

    def _slices(self, method: type[Method], split: Split) -> Slices:
        """The slices of a split, with their masks where the method needs masks."""
        slices = self.training.split(split)
        masks = "lesion_masks" in method.info.needs
        return replace(slices, lesion=self.training.lesions(split)) if masks else slices

    def fit(
        self,
        method: type[Method],
        params: Params,
        seed: int,
        checkpoints: Callable[[], AbstractContextManager[Checkpoint | None]] = nullcontext,
        checked: Callable[[int, Mapping[str, float]], None] = _ignore,
    ) -> tuple[Method, FitReport]:
        """Train a method and keep nothing.

        Args:
            method: the method.
            params: its parameters.
            seed: of the training.
            checkpoints: where its state is kept; without them, a kill loses it all.
            checked: told the metrics of each check; may end the training by an exception.
        """
        fitted = method(params)
        total = int(getattr(params, "steps", 1))

        def report(step: int, values: Mapping[str, float]) -> None:
            detail = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            self.tell(Progressed(step, total, detail))

        prior = self._prior(method)
        context = FitContext(
            seed=seed,
            device=self.device,
            tissue_prior=prior,
            report=report,
            checkpoint=checkpoints,
            checked=checked,
        )
        train, validation = (self._slices(method, split) for split in ("train", "validation"))
        fit = fitted.fit(train, validation, context)
        if prior is None:
            return fitted, fit
        notes = dict.fromkeys((*fit.notes, f"tissue prior: {prior.source}"))  # some say it already
        return fitted, replace(fit, notes=tuple(notes))
