"""The data of the study: who is trained on and who is tested, and what the page says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

import uad_bench as ub
from uad_bench.cells import short_hash
from uad_bench.evaluation.latent import tissue_dice
from uad_bench.method import Slices
from uad_bench.models.losses.perceptual import load_lite0_distance
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan
from uad_bench.volumes.store.tissue_prior import tissue_prior

from .arms import Size
from .records import SIMULATED, Facts, Patient

REAL = ("mslub", "brats")  # the datasets with real patients
TRAINING_SHARE = 0.6  # of the anatomies; healthy training subjects are made from them
LESION_LABELS = (25, 57)  # FreeSurfer's lesions, left and right
EXAMPLES = 2  # patients of each dataset whose slices are kept for pictures


@dataclass(frozen=True, slots=True, eq=False)
class StudyData:
    """Prepared datasets."""

    training: Mapping[str, Any]  # the arguments of `ub.fit` that name the healthy dataset
    healthy: PreparedDataset  # it, prepared
    unseen: PreparedDataset  # healthy people of other anatomies
    patients: Mapping[str, PreparedDataset]  # what detectors are tested on
    lesion_free: PreparedDataset | None = None  # only their slices without a lesion are scored

    @property
    def hash(self) -> str:
        """Of everything."""
        every = (self.healthy, self.unseen, *self.patients.values(), self.lesion_free)
        return short_hash([one.manifest_hash for one in every if one is not None])


def gather(
    anatomies: Path, root: Path, lesion_free: Path | None, size: Size, folder: Path, **settings: Any
) -> StudyData:
    """Simulate and prepare everything, or take it from the cache.

    Args:
        anatomies: folder of label maps. They are linked into two folders, so that no anatomy is
            both trained on and tested.
        root: folder of the real datasets.
        lesion_free: BIDS folder of other real patients.
        size: of the study.
        folder: of the results.
        settings: ``recipe`` and ``cache``.
    """
    maps = sorted(anatomies.glob("*.nii.gz"))
    split = round(TRAINING_SHARE * len(maps))
    kinds = {"seen": maps[:split], "unseen": maps[split:]}
    links = {name: folder / "anatomies" / name for name in kinds}
    for name, file in ((name, file) for name, part in kinds.items() for file in part):
        links[name].mkdir(parents=True, exist_ok=True)
        if not (links[name] / file.name).exists():
            (links[name] / file.name).symlink_to(file.resolve())
    training = {"anatomies": links["seen"], "phantoms": size.healthy // 4, **settings}
    others = {"anatomies": links["unseen"], **settings}
    patients = {name: ub.prepare(name, data_root=root, **settings) for name in REAL}
    for name in (one for one in BERCEA_2022.datasets if one != "hi"):
        patients[f"{name}{SIMULATED}"] = ub.prepare(name, phantoms=size.patients, **others)
    return StudyData(
        training,
        healthy=ub.prepare("hi", **training),
        unseen=ub.prepare("hi", phantoms=1, **others),
        patients=patients,
        lesion_free=ub.prepare(f"bids:{lesion_free}", **settings) if lesion_free else None,
    )


def first_scans(dataset: PreparedDataset) -> Iterator[tuple[PreparedScan, Slices]]:
    """Yield each person's first scan."""
    found: dict[str, PreparedScan] = {}
    for scan in dataset.scans:
        found.setdefault(scan.subject, scan)
    for scan in found.values():
        yield scan, dataset.slices(scan)


def lesion_free_scans(dataset: PreparedDataset | None) -> Iterator[tuple[PreparedScan, Slices]]:
    """Yield the slices of each person's first scan that show no lesion."""
    if dataset is not None:
        for scan, slices in first_scans(dataset):
            marked = dataset.lesion(scan).any(axis=(1, 2))
            yield scan, slices.take(np.flatnonzero(~marked))


def examples(dataset: PreparedDataset) -> Iterator[tuple[PreparedScan, Slices, NDArray[np.uint8]]]:
    """Yield the slice with the most lesion of a dataset's first patients, and the lesion."""
    for scan, slices in list(first_scans(dataset))[:EXAMPLES]:
        lesion = dataset.lesion(scan)
        at = int((lesion == 1).sum(axis=(1, 2)).argmax())
        yield scan, slices.take(slice(at, at + 1)), lesion[at] == 1


def describe(data: StudyData, anatomies: Path, folder: Path) -> Facts:
    """Measure what the page says of the data; ``data.npz`` gets the example slices.

    Args:
        data: the data.
        anatomies: the label maps that the simulated people were made from.
        folder: of the results.
    """
    prior = tissue_prior(data.healthy).mean
    expected = prior[:-1].sum(axis=0) > 0.5
    people = [scan.split for scan, _ in first_scans(data.healthy)]
    shown = {}
    for label, dataset in data.patients.items():
        for scan, one, lesion in examples(dataset):
            shown[f"{label}/{scan.name}/image"] = one.image[0, 0]
            shown[f"{label}/{scan.name}/lesion"] = lesion
    save_arrays(folder / "data.npz", shown)
    distance, flat_l1 = _distance(data.unseen)
    return Facts(
        hash=data.hash,
        shape=expected.shape[1:],
        spacing=data.healthy.spacing,
        people={split: people.count(split) for split in ("train", "validation")},
        slices=len(data.healthy.split("train")),
        patients={
            label: {
                scan.subject: _patient(slices, dataset.lesion(scan) == 1, expected)
                for scan, slices in first_scans(dataset)
            }
            for label, dataset in data.patients.items()
        },
        atlas={
            scan.subject: _atlas_dice(prior[:, slices.z], data.unseen.tissue_of(scan), slices)
            for scan, slices in first_scans(data.unseen)
        },
        lesion_free={scan.subject: len(one) for scan, one in lesion_free_scans(data.lesion_free)},
        distance=distance,
        flat_l1=flat_l1,
        label_maps={file.name: _lesion_voxels(file) for file in sorted(anatomies.glob("*.nii.gz"))},
    )


def _lesion_voxels(file: Path) -> int:
    return int(np.isin(np.rint(np.asarray(nib.load(file).dataobj)), LESION_LABELS).sum())


def save_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write pictures with half precision, whole or not at all."""
    partial = file.with_name(f".{file.name}")
    halves: dict[str, Any] = {key: array.astype(np.float16) for key, array in arrays.items()}
    np.savez_compressed(partial, **halves)
    partial.replace(file)


def _patient(slices: Slices, lesion: NDArray[np.bool_], expected: NDArray[np.bool_]) -> Patient:
    top = np.rint(slices.image[:, 0][lesion] * 65535) == 65535
    inside = (slices.brain[:, 0] & expected[slices.z]).sum()
    return Patient(
        lesion_ml=float(lesion.sum() * prod(slices.spacing) / 1000.0),
        saturated=float(top.mean()) if len(top) else None,
        coverage=float(inside / expected.sum()),
    )


def _atlas_dice(
    prior: NDArray[np.float32], tissue: NDArray[np.uint8], slices: Slices
) -> dict[str, float]:
    """Dice of the prior with a person's tissues; ``told``: where the brain is."""
    maps = prior.transpose(1, 0, 2, 3).copy()
    plain = tissue_dice(maps, tissue, slices.brain)
    maps[:, -1] = -1
    told = tissue_dice(maps, tissue, slices.brain)
    return plain | {f"{name}told": value for name, value in told.items()}


def _distance(unseen: PreparedDataset) -> tuple[tuple[float, ...], float]:
    """Squared feature difference per layer of EfficientNet-Lite0, and L1, to a flat brain."""
    image = np.concatenate([one.image for _, one in first_scans(unseen)])
    brain = np.concatenate([one.brain for _, one in first_scans(unseen)])
    rows = np.unique(np.linspace(0, len(image) - 1, 32).round().astype(np.int64))
    healthy, flat = torch.from_numpy(image[rows]), 0.5 * torch.from_numpy(brain[rows]).float()
    network = load_lite0_distance("cpu")
    with torch.inference_mode():
        pairs = zip(network.features(healthy), network.features(flat), strict=True)
        layers = tuple(float((one - other).square().mean()) for one, other in pairs)
    return layers, float((healthy - flat).abs().mean())
