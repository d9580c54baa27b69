"""The study's data in one file, small enough to travel to a machine with a GPU and no network.

Images are 16 bit (an error of at most 8e-6), masks and tissue maps 8 bit, and every slice is cut
to the smallest rectangle whose sides divide by 8 and that holds every brain.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.method import Slices, TissuePrior
from uad_bench.plugins.registry import PluginSources, Registry, discover
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import gather
from uad_bench.runner.data.sources import Sources, find_sources, find_training
from uad_bench.runner.events import Event, Noted, Started
from uad_bench.volumes.store.prepared import PreparedDataset
from uad_bench.volumes.store.tissue_prior import tissue_prior

TRAINING_SHARE = 0.6
"""Share of the anatomies that healthy training subjects are made from; the rest are unseen."""

_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class PackedScan:
    """One scan: whose it is, and its rows in the dataset's arrays."""

    name: str
    subject: str
    session: str | None
    split: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class PackedDataset:
    """Slices of some scans.

    Attributes:
        simulated: whether the scans are phantoms.
        scans: in the order of their slices.
        image: uint16 ``[N, H, W]``, 65535 times the intensity.
        brain: bool ``[N, H, W]``.
        lesion: uint8 ``[N, H, W]``.
        tissue: uint8 ``[N, 3, H, W]``, or empty where there are no tissue maps.
        z: int64 ``[N]``.
    """

    simulated: bool
    scans: tuple[PackedScan, ...]
    image: NDArray[np.uint16]
    brain: NDArray[np.bool_]
    lesion: NDArray[np.uint8]
    tissue: NDArray[np.uint8]
    z: NDArray[np.int64]

    def slices(
        self, rows: slice | NDArray[np.int64], spacing: tuple[float, float, float]
    ) -> Slices:
        """Return some rows as a method sees them."""
        image = self.image[rows, None].astype(np.float32) / np.float32(65535)
        return Slices(image, self.brain[rows, None], self.z[rows], spacing)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows of a split."""
        parts = [np.arange(s.start, s.stop) for s in self.scans if s.split == split]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Everything the study needs.

    Attributes:
        datasets: ``healthy`` (split into training and validation), ``unseen`` (healthy, of other
            anatomies), ``lesion-free`` (slices of real patients who are tested nowhere) where
            there are any, and the datasets of patients.
        prior: of the training subjects.
        spacing: voxel size ``(z, y, x)`` in mm.
        recipe: how scans became slices.
        sha256: of the file.
    """

    datasets: Mapping[str, PackedDataset]
    prior: TissuePrior
    spacing: tuple[float, float, float]
    recipe: str
    sha256: str

    @property
    def patients(self) -> dict[str, PackedDataset]:
        """The datasets that detectors are tested on, the real ones first."""
        healthy = ("healthy", "unseen", "lesion-free")
        found = [item for item in self.datasets.items() if item[0] not in healthy]
        return dict(sorted(found, key=lambda item: item[1].simulated))


def _say(event: Event) -> None:
    """Tell on standard output what begins and what was left out."""
    if isinstance(event, Started):
        print(event.text, flush=True)
    elif isinstance(event, Noted):
        print(f"  {event.text}", flush=True)


def make_pack(
    file: Path,
    *,
    recipe: str,
    anatomies: Path,
    data_root: Path,
    lesion_free: Path | None,
    healthy: int,
    patients: int,
    cache: Path | None,
) -> None:
    """Simulate, prepare and pack.

    Args:
        file: where the pack goes.
        recipe: name or file of the preparation recipe.
        anatomies: folder of label maps.
        data_root: folder of the real datasets.
        lesion_free: BIDS folder of real patients whose lesion-free slices may be trained on.
        healthy: simulated healthy subjects; a multiple of 4.
        patients: simulated patients per dataset.
        cache: folder for phantoms and prepared datasets.
    """
    registry = discover(PluginSources())
    found: dict[str, PreparedDataset] = {}
    with tempfile.TemporaryDirectory() as scratch:
        seen, unseen = _divide(anatomies, Path(scratch))
        common = {"methods": ("thresholding",), "recipe": recipe, "cache": cache}

        def training(label: str, phantoms: int, source: Path) -> None:
            config = RunConfig(phantoms=phantoms, anatomies=source, **common)
            sources = Sources(find_training(config, registry), (), ())
            found[label] = gather(config, sources, _say).training

        training("healthy", healthy // 4, seen)
        training("unseen", 1, unseen)
        simulated = RunConfig(phantoms=patients, anatomies=unseen, **common)
        found |= _evaluated(simulated, registry, " (simulated)")
        real = RunConfig(data_root=data_root, phantoms=1, anatomies=unseen, **common)
        found |= _evaluated(real, registry, "")
        if lesion_free is not None:
            config = RunConfig(
                datasets=(f"bids:{lesion_free}",), phantoms=1, anatomies=unseen, **common
            )
            found["lesion-free"] = next(iter(_evaluated(config, registry, "").values()))
    write_pack(file, found)


def write_pack(file: Path, datasets: Mapping[str, PreparedDataset]) -> None:
    """Pack prepared datasets; ``healthy`` and its prior are among them."""
    window = _window(np.load(c.folder / "brain.npy", mmap_mode="r") for c in datasets.values())
    arrays: dict[str, NDArray[Any]] = {}
    index: dict[str, Any] = {}
    for label, dataset in datasets.items():
        scans, rows = _chosen(label, dataset)
        image = np.load(dataset.folder / "image.npy", mmap_mode="r")[rows][:, *window]
        arrays[f"{label}/image"] = np.rint(image.astype(np.float64) * 65535).astype(np.uint16)
        for name in ("brain", "lesion"):
            arrays[f"{label}/{name}"] = np.load(dataset.folder / f"{name}.npy", mmap_mode="r")[
                rows
            ][:, *window]
        tissue = np.empty((0, 3, 0, 0), np.uint8)
        if label == "unseen":
            tissue = np.load(dataset.folder / "tissue.npy", mmap_mode="r")[rows][:, :, *window]
        arrays[f"{label}/tissue"] = tissue
        arrays[f"{label}/z"] = dataset.z[rows]
        index[label] = {"simulated": dataset.simulated, "scans": [asdict(scan) for scan in scans]}
    prior = tissue_prior(datasets["healthy"])
    for name in ("mean", "variance"):
        values = getattr(prior, name)[:, :, *window]
        arrays[f"prior/{name}"] = np.rint(values * 65535).astype(np.uint16)
    reference = datasets["healthy"]
    index["about"] = {
        "spacing": reference.spacing,
        "recipe": reference.recipe.model_dump_json(exclude_defaults=True),
        "prior": prior.source,
    }
    arrays["index"] = np.array(json.dumps(index))
    with file.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def read_pack(file: Path) -> Pack:
    """Read what :func:`write_pack` wrote."""
    with np.load(file, allow_pickle=False) as data:
        index = json.loads(str(data["index"]))
        about = index.pop("about")
        datasets = {
            label: PackedDataset(
                simulated=entry["simulated"],
                scans=tuple(PackedScan(**scan) for scan in entry["scans"]),
                image=data[f"{label}/image"],
                brain=data[f"{label}/brain"].astype(np.bool_),
                lesion=data[f"{label}/lesion"],
                tissue=data[f"{label}/tissue"],
                z=data[f"{label}/z"],
            )
            for label, entry in index.items()
        }
        mean, variance = (
            data[f"prior/{name}"].astype(np.float32) / np.float32(65535)
            for name in ("mean", "variance")
        )
    z, y, x = about["spacing"]
    with file.open("rb") as stream:
        checksum = sha256(stream.read()).hexdigest()
    prior = TissuePrior(mean, variance, about["prior"])
    return Pack(datasets, prior, (z, y, x), about["recipe"], checksum)


def _evaluated(config: RunConfig, registry: Registry, mark: str) -> dict[str, PreparedDataset]:
    sources = find_sources(config, registry)
    data = gather(config, sources, _say)
    return {f"{label}{mark}": dataset for label, dataset in data.evaluated.items()}


def _divide(anatomies: Path, scratch: Path) -> tuple[Path, Path]:
    """Link the label maps into two folders, so that no anatomy is both trained on and tested."""
    files = sorted(anatomies.glob("*.nii.gz"))
    split = round(TRAINING_SHARE * len(files))
    folders = scratch / "seen", scratch / "unseen"
    for folder, part in zip(folders, (files[:split], files[split:]), strict=True):
        folder.mkdir()
        for file in part:
            (folder / file.name).symlink_to(file.resolve())
    return folders


def _chosen(label: str, dataset: PreparedDataset) -> tuple[list[PackedScan], NDArray[np.int64]]:
    """Each person's first scan, with its rows in the pack and the rows they come from."""
    scans, rows, start = [], [], 0
    people: set[str] = set()
    for scan in dataset.scans:
        if scan.subject in people or (label == "healthy" and scan.split == "test"):
            continue
        people.add(scan.subject)
        own = np.arange(scan.start, scan.stop)
        if label == "lesion-free":
            own = own[~np.asarray(dataset.lesion(scan)).any(axis=(1, 2))]
        stop = start + len(own)
        split = scan.split if label == "healthy" else "test"
        scans.append(PackedScan(scan.name, scan.subject, scan.session, split, start, stop))
        rows.append(own)
        start = stop
    return scans, np.concatenate(rows)


def _window(brains: Iterable[NDArray[np.uint8]]) -> tuple[slice, slice]:
    """Rows and columns that hold every brain."""
    shadow = np.any([np.asarray(brain).any(axis=0) for brain in brains], axis=0)
    return tuple(_span(shadow.any(axis=axis)) for axis in (1, 0))  # type: ignore[return-value]


def _span(used: NDArray[np.bool_]) -> slice:
    first, last = np.flatnonzero(used)[[0, -1]]
    count = -(-(int(last) - int(first) + 1) // _MULTIPLE) * _MULTIPLE
    start = max(0, min(int(first) - (count - (int(last) - int(first) + 1)) // 2, len(used) - count))
    return slice(start, start + count)


def scan_slices(
    pack: Pack, dataset: PackedDataset
) -> Iterator[tuple[PackedScan, Slices, NDArray[np.uint8]]]:
    """Yield every test scan with its slices and lesion mask."""
    for scan in dataset.scans:
        rows = slice(scan.start, scan.stop)
        yield scan, dataset.slices(rows, pack.spacing), dataset.lesion[rows]
