"""The prepared store: one folder per dataset and recipe, read through memory maps.

``image.npy`` float32 ``[N, H, W]``, ``brain.npy`` and ``lesion.npy`` uint8 ``[N, H, W]``,
``tissue.npy`` uint8 ``[N, 3, H, W]`` (255 x probability of CSF, GM, WM) where any scan has tissues,
``native.npz`` with the masks of scans that are scored on their own voxels, ``index.csv`` with one
row per slice, and ``manifest.json``. Scans stand in the order train, validation, test, so that
every split is one view of the arrays.
"""

from __future__ import annotations

import csv
import errno
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from uad_bench.cells import DatasetUse, Exclusion
from uad_bench.dataset import Split
from uad_bench.discovery.people.traits import PersonTraits
from uad_bench.errors import RunError
from uad_bench.method import Slices
from uad_bench.volumes.checks.quality import ScanQuality
from uad_bench.volumes.grid import Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.native import PACKED, NativeMasks

NATIVE = "native.npz"
"""The masks of validation and test scans on their own voxels."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

StepName = Literal["strip", "n4", "register", "tissues", "slice"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputFile(_Record):
    """One file a scan was made from: its role, path in the dataset's folder, size and SHA-256."""

    role: str
    path: str
    size: int
    sha256: str


class Step(_Record):
    """One step of a scan's preparation and what it cost on the machine that did it."""

    name: StepName
    seconds: float


class Displaced(_Record):
    """A mask that was laid voxel on voxel although its header places it elsewhere.

    Attributes:
        file: its name.
        mm: how far away its header places a corner at most.
    """

    file: str
    mm: float


class Standard(_Record):
    """How a scan came to the template.

    Attributes:
        brain: where its brain mask comes from.
        registration: how it was brought to template space.
        to_mni152: the scan's world to MNI152 world, mm, RAS+, row by row.
        regridded: masks that lay on another grid than the FLAIR and were resampled to it.
        displaced: masks whose header was not believed (``--mask-shift``).
        voxels: hash of the FLAIR's values, however its file stores them.
        labels: see ``steps.read.telling_labels``.
        steps: what was done, and what it cost.
    """

    brain: str
    registration: str
    to_mni152: tuple[tuple[float, ...], ...]
    regridded: tuple[str, ...]
    displaced: tuple[Displaced, ...] = ()
    voxels: str
    labels: tuple[int, ...] = ()
    steps: tuple[Step, ...]

    @property
    def registered(self) -> bool:
        """Whether the scan was registered here, not published in template space."""
        return any(step.name == "register" for step in self.steps)


class PreparedScan(_Record):
    """One scan in the store.

    Attributes:
        name: subject and session, unique inside the dataset.
        subject: the person.
        session: the time point, where the dataset has several.
        site: scanner or centre, where the dataset has several.
        split: the part of the protocol it belongs to.
        start: its first slice in the arrays.
        stop: one behind its last slice.
        healthy: whether the subject is said to be healthy, or its masks are all zero.
        has_lesion: whether any stored voxel is lesion.
        has_tissue: whether it came with a tissue label map.
        standard: how it came to the template.
        quality: how it lies there, and what resampling did to its lesions.
        files: what it was made from.
    """

    name: str
    subject: str
    session: str | None
    site: str | None
    split: Split
    start: int
    stop: int
    healthy: bool
    has_lesion: bool
    has_tissue: bool
    standard: Standard
    quality: ScanQuality
    files: tuple[InputFile, ...]

    @property
    def rows(self) -> slice:
        """Its rows in the arrays."""
        return slice(self.start, self.stop)


class ExcludedScan(Exclusion):
    """A scan that was left out, why, from which split, and how far it came.

    Attributes:
        split: the part of the protocol it would belong to.
        state: ``excluded`` by a person, ``held out`` for a bad registration, or ``unreadable``.
        standard: how it came to the template, where it came so far.
        quality: how it lies there, where it came so far.
    """

    split: Split
    state: Literal["excluded", "held out", "unreadable"]
    standard: Standard | None = None
    quality: ScanQuality | None = None


class Manifest(_Record):
    """What is in a store and how it came to be.

    Attributes:
        schema_version: version of this layout.
        preparation: version of the preparation code; another one makes another store.
        dataset: name of the dataset.
        simulated: whether its scans are phantoms.
        recipe: how scans became slices.
        grid_affine: index (z, row, column) to MNI152 world coordinates in mm, row by row.
        grid_shape: slices, rows and columns of the template grid.
        manifest_hash: 16 hexadecimal digits over recipe, preparation and the files' content.
        versions: the packages that made it; not part of the hash.
        scans: the scans, in the order of their slices.
        excluded: the scans left out.
    """

    schema_version: int = 1
    preparation: int
    dataset: str
    simulated: bool
    recipe: Recipe
    grid_affine: tuple[tuple[float, float, float, float], ...]
    grid_shape: tuple[int, int, int]
    manifest_hash: str
    versions: dict[str, str]
    scans: tuple[PreparedScan, ...]
    excluded: tuple[ExcludedScan, ...]


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset as slices. Open it with :meth:`open`; arrays are read when they are asked for.

    Attributes:
        folder: where it lies.
        manifest: what is in it.
        z: int64 ``[N]``, the template slice of every stored slice.
        title: what tables call it; empty where they know its name.
        people: what its list of people says of each subject that results are grouped by.
    """

    folder: Path
    manifest: Manifest
    z: NDArray[np.int64]
    title: str = ""
    people: Mapping[str, PersonTraits] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> PreparedDataset:
        """Open a prepared store.

        Raises:
            RunError: when the folder is not a whole store.
        """
        try:
            text = (folder / "manifest.json").read_text(encoding="utf-8")
            manifest = Manifest.model_validate_json(text)
            with (folder / "index.csv").open(encoding="utf-8", newline="") as stream:
                z = np.array([int(row["z"]) for row in csv.DictReader(stream)], dtype=np.int64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{folder}: not a whole prepared store; delete it and prepare again"
            ) from error
        store = cls(folder, manifest, z)
        for name in store._array_names():
            if len(store._array(name)) != len(z):
                raise RunError(
                    f"{folder / name}.npy: its length differs from index.csv's; "
                    "delete the store and prepare again"
                )
        return store

    def __reduce__(self) -> tuple[object, ...]:
        """Travel by name: another process reads the folder, which may list 100,000 scans."""
        return _opened_again, (self.folder.absolute(), self.title, self.people)

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.manifest.dataset

    @property
    def recipe(self) -> Recipe:
        """How scans became slices."""
        return self.manifest.recipe

    @property
    def simulated(self) -> bool:
        """Whether the scans are phantoms."""
        return self.manifest.simulated

    @property
    def manifest_hash(self) -> str:
        """Hash over recipe, preparation and the input files' content."""
        return self.manifest.manifest_hash

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in mm."""
        return self.recipe.slice_mm, self.recipe.pixel_mm, self.recipe.pixel_mm

    @property
    def scans(self) -> tuple[PreparedScan, ...]:
        """The scans, in the order of their slices."""
        return self.manifest.scans

    @property
    def excluded(self) -> tuple[ExcludedScan, ...]:
        """The scans left out, with reasons."""
        return self.manifest.excluded

    def scans_of(self, split: Split) -> tuple[PreparedScan, ...]:
        """Return the scans of ``split``."""
        return tuple(scan for scan in self.scans if scan.split == split)

    def slices(self, scan: PreparedScan) -> Slices:
        """Return the slices of one scan, in z order."""
        return self._slices(scan.rows)

    def split(self, name: Split) -> Slices:
        """Return all slices of a split, scan by scan, as one view."""
        return self._slices(self._rows(name))

    def lesion(self, scan: PreparedScan) -> NDArray[np.uint8]:
        """Return a scan's lesion mask, uint8 ``[N, H, W]``: 0 healthy, 1 lesion, 2 ignored."""
        lesion: NDArray[np.uint8] = self._array("lesion")[scan.rows]
        return lesion

    def lesions(self, split: Split) -> NDArray[np.uint8]:
        """Return the lesion masks of a split, uint8 ``[N, 1, H, W]``, values as :meth:`lesion`."""
        lesions: NDArray[np.uint8] = self._array("lesion")[self._rows(split), None]
        return lesions

    def tissue(self, split: Split) -> NDArray[np.uint8] | None:
        """Return 255 x probability of CSF, GM, WM, uint8 ``[N, 3, H, W]``.

        ``None`` where the split is empty or any of its scans came without tissues.
        """
        scans = self.scans_of(split)
        if not scans or not all(scan.has_tissue for scan in scans):
            return None
        tissue: NDArray[np.uint8] = self._array("tissue")[self._rows(split)]
        return tissue

    def tissue_of(self, scan: PreparedScan) -> NDArray[np.uint8]:
        """Return 255 x probability of CSF, GM, WM of one scan that has it, ``[N, 3, H, W]``."""
        tissue: NDArray[np.uint8] = self._array("tissue")[scan.rows]
        return tissue

    @property
    def grid(self) -> Grid:
        """The template grid that the slices lie on."""
        return Grid(np.array(self.manifest.grid_affine), self.manifest.grid_shape)

    def native(self, scan: PreparedScan) -> NativeMasks:
        """Return the masks of a validation or test scan on its own voxels.

        Raises:
            RunError: when they cannot be read.
        """
        number = self._numbers[scan.name]
        try:
            return NativeMasks.unpack({name: self._stored(number, name) for name in PACKED})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            raise RunError(
                f"{self.folder / NATIVE}: cannot be read; delete the store's folder and prepare "
                "again"
            ) from error

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        """The place of each scan, by name."""
        return {scan.name: number for number, scan in enumerate(self.scans)}

    @cached_property
    def _natives(self) -> ZipFile:
        """The open file of native masks: its table of contents is as long as there are scans."""
        return ZipFile(self.folder / NATIVE)

    def _stored(self, number: int, name: str) -> NDArray[Any]:
        """One array of a scan's native masks."""
        with self._natives.open(f"{number}/{name}.npy") as stream:
            return np.lib.format.read_array(  # type: ignore[no-untyped-call,no-any-return]
                stream, allow_pickle=False
            )

    def use(self, split: Split | None = None) -> DatasetUse:
        """Return the record of which data stands behind a cell: one split, or everything."""
        scans = self.scans if split is None else self.scans_of(split)
        shifts = [max((mask.mm for mask in s.standard.displaced), default=0.0) for s in scans]
        return DatasetUse(
            dataset=self.name,
            title=self.title,
            simulated=self.simulated,
            manifest_hash=self.manifest_hash,
            recipe=self.recipe.name,
            subjects=len({scan.subject for scan in scans}),
            scans=len(scans),
            slices=sum(scan.stop - scan.start for scan in scans),
            displaced=sum(mm > 0.0 for mm in shifts),
            displaced_mm=max(shifts, default=0.0),
            excluded=tuple(
                Exclusion(scan=scan.scan, reason=scan.reason)
                for scan in self.excluded
                if split in (None, scan.split)
            ),
        )

    def _array_names(self) -> tuple[str, ...]:
        names = ("image", "brain", "lesion")
        return (*names, "tissue") if any(scan.has_tissue for scan in self.scans) else names

    def _array(self, name: str) -> NDArray[Any]:
        path = self.folder / f"{name}.npy"
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) == errno.ENOMEM:
                raise MemoryError(f"{path} cannot be mapped") from error
            raise RunError(
                f"{path}: cannot be read; delete the store's folder and prepare again"
            ) from error
        return array

    def _rows(self, split: Split) -> slice:
        scans = self.scans_of(split)
        return slice(scans[0].start, scans[-1].stop) if scans else slice(0, 0)

    def _slices(self, rows: slice) -> Slices:
        return Slices(
            image=self._array("image")[rows, None],
            brain=self._array("brain").view(np.bool_)[rows, None],
            z=self.z[rows],
            spacing=self.spacing,
        )


def _opened_again(folder: Path, title: str, people: Mapping[str, PersonTraits]) -> PreparedDataset:
    """What a prepared dataset is in another process."""
    return replace(PreparedDataset.open(folder), title=title, people=people)


def find_prepared(stores: Path, manifest_hash: str) -> PreparedDataset | None:
    """Return the prepared dataset of that hash among those in a folder, ``None`` without one."""
    for file in sorted(stores.glob("*/manifest.json")):
        try:
            is_it = manifest_hash in file.read_text(encoding="utf-8")
            found = PreparedDataset.open(file.parent) if is_it else None
        except (OSError, ValueError, RunError):
            continue
        if found is not None and found.manifest_hash == manifest_hash:
            return found
    return None
