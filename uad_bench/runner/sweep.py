"""A sweep: a method trained once per value of one parameter, and measured on healthy people.

What Bercea et al. 2022 show in Figures 2 and 4. No lesion and no test label takes part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from uad_bench.errors import PluginError
from uad_bench.evaluation.latent import ssim, tissue_dice
from uad_bench.method import (
    TISSUES,
    FloatArray,
    Method,
    ReconstructionMethod,
    Slices,
    TissueMapping,
)
from uad_bench.report.figures.sweep import (
    DICE,
    Shown,
    Sweep,
    Training,
    Value,
    ValueView,
    shown,
    sweep_csv,
)
from uad_bench.report.figures.sweep_picture import sweep_picture
from uad_bench.results import ResultsFolder
from uad_bench.runner.atlas import refuse_leaks
from uad_bench.runner.data import gather
from uad_bench.runner.detectors import Trainer
from uad_bench.runner.events import Listener, Noted, Progressed, Started
from uad_bench.runner.failures import failure_reason
from uad_bench.runner.readiness import large_batches, refuse
from uad_bench.runner.scoring import checked
from uad_bench.runner.sources import Sources
from uad_bench.runner.sweep_plan import SweepPlan
from uad_bench.system.disk import write_whole
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


def run_sweep(plan: SweepPlan, results: ResultsFolder, device: str, tell: Listener) -> Sweep:
    """Train what is not trained yet, and measure it. A training that diverges stops no other.

    Args:
        plan: what to do.
        results: where detectors are kept.
        device: the resolved torch device.
        tell: told about every step.

    Raises:
        UadBenchError: the data cannot be used, or the disk is full; trained detectors stay.
    """
    data = gather(plan.config, Sources(plan.training, (), ()), tell)
    if plan.atlas is not None:
        refuse_leaks(plan.atlas, data, plan.training.label)
    dataset = data.training
    refuse(large_batches(dataset, ((plan.method.name, params) for params in plan.values.values())))
    trainer = Trainer(dataset, results, plan.config, device, tell, plan.atlas)
    held_out = _HeldOut.of(dataset)
    trainings: list[Training] = []
    views: dict[Value, ValueView] = {}
    for value, params in plan.values.items():
        for seed in plan.config.seeds:
            place = f"{plan.param} {shown(value)}, seed {seed}"
            tell(Started(place))
            try:
                detector, fit = trainer.detector(plan.method, params, seed, None)
                tell(Started(f"measure {place}"))
                means, view = held_out.look(detector, tell)
            except Exception as error:
                reason = failure_reason(error)
                tell(Noted(f"{place} failed: {reason}"))
                trainings.append(Training(value, seed, {}, reason=reason))
                continue
            views.setdefault(value, view)
            between = {"KL": fit.validation["kl"]} if "kl" in fit.validation else {}
            measures = {"L1": means.pop("L1"), **between, **means}
            trainings.append(
                Training(
                    value,
                    seed,
                    measures,
                    fit.detector,
                    simulated_prior=fit.simulated_prior,
                    fallback_prior=fit.fallback_prior,
                )
            )
    return Sweep(
        method=plan.method.name,
        title=plan.method.title,
        param=plan.param,
        values=tuple(plan.values),
        log=plan.log,
        trainings=tuple(trainings),
        learned=dataset.use("train"),
        measured=dataset.use(held_out.split),
        split=held_out.split,
        shown=held_out.shown(views),
    )


def write_sweep(sweep: Sweep, results: ResultsFolder) -> Path:
    """Write ``sweep.csv`` and ``sweep.png`` to the sweep's folder, and return it.

    Raises:
        UadBenchError: if they cannot be written.
    """
    folder = results.root / "sweeps" / f"{sweep.method}-{sweep.param}"
    picture = sweep_picture(sweep)
    write_whole(folder / "sweep.csv", sweep_csv(sweep).encode())
    write_whole(folder / "sweep.png", picture)
    return folder


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """Healthy people that no detector learned from: the test split, or else the validation's.

    Attributes:
        dataset: the training dataset.
        split: their split.
        scans: their scans; the picture shows the first.
        row: the slice of it that is shown, the one with most brain.
    """

    dataset: PreparedDataset
    split: Literal["test", "validation"]
    scans: tuple[PreparedScan, ...]
    row: int

    @classmethod
    def of(cls, dataset: PreparedDataset) -> _HeldOut:
        """Find them in the training dataset."""
        split: Literal["test", "validation"] = "test" if dataset.scans_of("test") else "validation"
        scans = dataset.scans_of(split)
        row = int(dataset.slices(scans[0]).brain.sum(axis=(1, 2, 3)).argmax())
        return cls(dataset, split, scans, row)

    def look(self, detector: Method, tell: Listener) -> tuple[dict[str, float], ValueView]:
        """Measure a detector on every scan, and keep what it makes of the shown slice.

        Returns:
            L1, SSIM and Dice by name, each the mean over people of the mean over their scans; and
            the view of the shown slice.

        Raises:
            PluginError: if the method's maps break its contract.
        """
        people: defaultdict[str, defaultdict[str, list[float]]]
        people = defaultdict(lambda: defaultdict(list))
        views = []
        for number, scan in enumerate(self.scans):
            slices = self.dataset.slices(scan)
            image, brain = np.asarray(slices.image), np.asarray(slices.brain)
            reconstruction, maps = _reconstruction(detector, slices), _tissues(detector, slices)
            if number == 0:
                tissues = None if maps is None else maps[self.row].copy()
                views.append(ValueView(reconstruction[self.row, 0].copy(), tissues))
            found = {
                "L1": float(np.abs(image - reconstruction).mean(dtype=np.float64)),
                "SSIM": ssim(image, reconstruction, brain),
            }
            if scan.has_tissue and maps is not None:
                dice = tissue_dice(maps, np.asarray(self.dataset.tissue_of(scan)), brain)
                found |= {f"{DICE}{tissue}": value for tissue, value in dice.items()}
            for name, value in found.items():
                people[name][scan.subject].append(value)
            tell(Progressed(number + 1, len(self.scans), scan.name))
        means = {name: _mean(map(_mean, scans.values())) for name, scans in people.items()}
        return means, views[0]

    def shown(self, views: Mapping[Value, ValueView]) -> Shown:
        """The shown slice, with what the detectors made of it."""
        scan, tissues = self.scans[0], None
        slices = self.dataset.slices(scan)
        if scan.has_tissue:
            three = self.dataset.tissue_of(scan)[self.row] / np.float32(255)
            tissues = np.concatenate([three, (1 - three.sum(axis=0, keepdims=True)).clip(0, 1)])
        image, brain = (np.array(one[self.row, 0]) for one in (slices.image, slices.brain))
        return Shown(scan.name, image, brain, tissues, views)


def _reconstruction(detector: Method, slices: Slices) -> FloatArray:
    """What the method makes of slices, ``[N, 1, H, W]``, checked."""
    made = cast(ReconstructionMethod, detector).reconstruct(slices)  # the plan lets in no other
    return checked(detector, "reconstruct", made, slices)[:, None]


def _tissues(detector: Method, slices: Slices) -> FloatArray | None:
    """Latent tissue maps, where the method has them, checked."""
    if not isinstance(detector, TissueMapping):
        return None
    maps = np.asarray(detector.tissues(slices), dtype=np.float32)
    wanted = (len(slices), len(TISSUES), *slices.image.shape[2:])
    if maps.shape != wanted or not np.isfinite(maps).all():
        raise PluginError(
            f"{detector.name}.tissues() returned shape {maps.shape} or values that are not "
            f"finite: return finite maps {wanted}"
        )
    return maps


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
