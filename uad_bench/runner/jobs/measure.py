"""Measuring: what a detector makes of healthy people that it did not learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from uad_bench.cells import FitRecord
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
from uad_bench.report.figures.sweep import DICE, Shown, Value, ValueView
from uad_bench.runner.data.gather import Data
from uad_bench.runner.detectors.scoring import checked
from uad_bench.runner.events import Listener, Progressed, Started
from uad_bench.runner.executors.contract import Done
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.train import Trained
from uad_bench.runner.plan.job import Measure
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


@dataclass(frozen=True, slots=True)
class Measured:
    """What a detector comes to in a sweep.

    Attributes:
        means: L1, KL where the method has it, SSIM and Dice by name.
        view: what it makes of the shown slice.
        fit: how it came to be.
    """

    means: Mapping[str, float]
    view: ValueView
    fit: FitRecord


def measure(job: Measure, done: Done, setting: Setting) -> Measured:
    """Measure one detector on every held-out healthy scan."""
    data = done.of(job.data, Data)
    setting.tell(Started(job.name))
    params = done.of(job.train, Trained).params
    detector, fit = setting.trainer(data).stored(job.train.method, params, job.train.seed)
    means, view = HeldOut.of(data.training).look(detector, setting.tell)
    between = {"KL": fit.validation["kl"]} if "kl" in fit.validation else {}
    return Measured({"L1": means.pop("L1"), **between, **means}, view, fit)


@dataclass(frozen=True, slots=True)
class HeldOut:
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
    def of(cls, dataset: PreparedDataset) -> HeldOut:
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
            f"{detector.info.name}.tissues() returned shape {maps.shape} or values that are not "
            f"finite: return finite maps {wanted}"
        )
    return maps


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
