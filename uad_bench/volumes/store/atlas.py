"""An atlas: the tissue prior of a training dataset as a folder that outlives its run.

``mean.npy`` and ``variance.npy``, float32 ``[4, Z, H, W]`` (CSF, GM, WM, background), and
``manifest.json``, which says from whom they are and holds their SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.method import TISSUES, FloatArray, TissuePrior
from uad_bench.system.disk import write_whole, writing
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.space import template_grid
from uad_bench.volumes.store.inputs import digest
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan
from uad_bench.volumes.store.tissue_prior import prior_subjects, tissue_prior
from uad_bench.volumes.store.write import sync_folder

VARIANCE_FLOOR = 1e-2
"""The advised smallest variance. Most of an atlas has almost none, where a divergence from it
explodes; the arrays are not floored, since every method applies a floor of its own."""

_ARRAYS = ("mean", "variance")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AtlasSubject(_Record):
    """A person behind an atlas: the name, and the SHA-256 of their FLAIRs' files and voxels."""

    name: str
    flairs: tuple[str, ...]


class AtlasManifest(_Record):
    """What an atlas was made from.

    Attributes:
        schema_version: version of this layout.
        dataset: the training dataset as tables call it.
        simulated: whether its subjects are phantoms.
        fallback: whether the maps are the template's, for want of subjects with tissue maps.
        recipe: how the dataset was prepared.
        recipe_hash: hash of the recipe.
        grid_affine: index (z, row, column) to MNI152 world coordinates in mm, row by row.
        grid_shape: slices, rows and columns.
        tissues: the channels of the arrays.
        source: where the maps come from, in words.
        subjects: the people, by name; nobody behind the fallback.
        store_hash: manifest hash of the prepared training dataset.
        variance_floor: the advised smallest variance; the arrays are not floored.
        sha256: of each array's file.
        versions: the packages that made it; not part of the hash.
        atlas_hash: 16 hexadecimal digits over everything above but the versions.
    """

    schema_version: Literal[1] = 1
    dataset: str
    simulated: bool
    fallback: bool
    recipe: Recipe
    recipe_hash: str
    grid_affine: tuple[tuple[float, float, float, float], ...]
    grid_shape: tuple[int, int, int]
    tissues: tuple[str, ...]
    source: str
    subjects: tuple[AtlasSubject, ...]
    store_hash: str
    variance_floor: float
    sha256: dict[str, str]
    versions: dict[str, str]
    atlas_hash: str = ""

    @property
    def digest(self) -> str:
        """What ``atlas_hash`` must be."""
        return digest(self.model_dump(mode="json", exclude={"versions", "atlas_hash"}))


@dataclass(frozen=True, slots=True)
class Atlas:
    """A stored tissue prior.

    Attributes:
        folder: where it lies.
        manifest: what it was made from.
        prior: mean and variance; its source names the atlas and its hash.
    """

    folder: Path
    manifest: AtlasManifest
    prior: TissuePrior

    @property
    def hash(self) -> str:
        """What identifies it: arrays, subjects and recipe."""
        return self.manifest.atlas_hash


def build_atlas(prepared: PreparedDataset, label: str, folder: Path) -> Atlas:
    """Write the tissue prior of a training dataset into ``folder``, whole or not at all.

    The same dataset gives the same bytes. See ``tissue_prior``
    for what the maps are.

    Args:
        prepared: the training dataset.
        label: its name in tables.
        folder: must not be there yet.

    Raises:
        UadBenchError: the folder is there, or cannot be written.
    """
    refuse_existing(folder)
    prior, subjects = tissue_prior(prepared), prior_subjects(prepared)
    files = {"mean": _npy(prior.mean), "variance": _npy(prior.variance)}
    manifest = AtlasManifest(
        dataset=label,
        simulated=prepared.simulated and bool(subjects),
        fallback=not subjects,
        recipe=prepared.recipe,
        recipe_hash=prepared.recipe.hash,
        grid_affine=prepared.manifest.grid_affine,
        grid_shape=prepared.manifest.grid_shape,
        tissues=TISSUES,
        source=prior.source,
        subjects=tuple(_subject(name, scans) for name, scans in subjects.items()),
        store_hash=prepared.manifest_hash,
        variance_floor=VARIANCE_FLOOR,
        sha256={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        versions={name: version(name) for name in ("uad-bench", "numpy")},
    )
    manifest = manifest.model_copy(update={"atlas_hash": manifest.digest})
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        with writing(folder):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name, data in files.items():
                write_whole(partial / f"{name}.npy", data)
            text = manifest.model_dump_json(indent=1) + "\n"
            write_whole(partial / "manifest.json", text.encode())
            sync_folder(partial)
            partial.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_atlas(folder)


def refuse_existing(folder: Path) -> None:
    """Refuse to build where something is, before any work.

    Raises:
        UadBenchError: something is there.
    """
    if folder.exists():
        raise UadBenchError(f"{folder}: is there already; delete it or name another folder")


def open_atlas(folder: Path) -> Atlas:
    """Read an atlas and check it against its hashes.

    Raises:
        UadBenchError: no atlas, a damaged one, or one of other tissues.
    """
    try:
        text = (folder / "manifest.json").read_bytes()
        manifest = AtlasManifest.model_validate_json(text)
    except OSError as error:
        raise UadBenchError(
            f"{folder}: no atlas (manifest.json: {error.strerror or error}); "
            "`uad-bench atlas build` makes one"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UadBenchError(
            f"{folder / 'manifest.json'}: not an atlas's ({where}: {first['msg']}); build it again"
        ) from None
    if manifest.atlas_hash != manifest.digest:
        raise UadBenchError(
            f"{folder / 'manifest.json'}: changed since the atlas was built; build it again"
        )
    if manifest.tissues != TISSUES:
        raise UadBenchError(
            f"{folder}: its {len(manifest.tissues)} maps are {', '.join(manifest.tissues)}; a "
            f"tissue prior has {len(TISSUES)}: {', '.join(TISSUES)}"
        )
    mean, variance = (_array(folder, name, manifest) for name in _ARRAYS)
    source = f"{manifest.source} (atlas {manifest.atlas_hash})"
    return Atlas(folder, manifest, TissuePrior(mean, variance, source))


def refuse_other_grid(atlas: Atlas, recipe: Recipe) -> None:
    """Refuse an atlas whose voxels are not those of datasets prepared with ``recipe``.

    Normalisation, strip and bias field are of no matter: they do not move a voxel.

    Raises:
        UadBenchError: naming both recipes.
    """
    built, grid = atlas.manifest, template_grid(recipe)
    same_template = built.recipe.template == recipe.template
    same_grid = built.grid_shape == grid.shape and np.allclose(
        built.grid_affine, grid.affine, rtol=0.0, atol=1e-6
    )
    if same_template and same_grid:
        return
    raise UadBenchError(
        f"--atlas {atlas.folder}: built with recipe {_in_words(built.recipe)}, "
        f"{_grid_in_words(built.grid_shape, built.grid_affine)}, but this run prepares with "
        f"{_in_words(recipe)}, {_grid_in_words(grid.shape, grid.affine.tolist())}: build one with "
        "this run's --recipe and --template"
    )


def known_people(atlas: Atlas, label: str, simulated: bool, scans: Iterable[PreparedScan]) -> str:
    """Name the people of an atlas among ``scans``; empty where there is nobody.

    A person is known by name inside the atlas's own dataset, and in every dataset by the content
    of a FLAIR's file or by its voxels: neither a renamed nor a converted copy hides anybody.

    Args:
        atlas: the atlas.
        label: the name of the scans' dataset in tables.
        simulated: whether they are phantoms.
        scans: the scans that the atlas may not know.
    """
    built = atlas.manifest
    same_dataset = (built.dataset, built.simulated) == (label, simulated)
    names = {subject.name for subject in built.subjects} if same_dataset else set()
    flairs = {flair for subject in built.subjects for flair in subject.flairs}
    found = sorted(
        {scan.subject for scan in scans if scan.subject in names or flairs & {*_flairs(scan)}}
    )
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return ", ".join(found[:5]) + more


def _subject(name: str, scans: tuple[PreparedScan, ...]) -> AtlasSubject:
    return AtlasSubject(name=name, flairs=tuple(f for scan in scans for f in _flairs(scan)))


def _flairs(scan: PreparedScan) -> tuple[str, ...]:
    files = (file.sha256 for file in scan.files if file.role == "flair")
    return (*files, scan.standard.voxels)


def _npy(values: FloatArray) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(values, dtype="<f4"), allow_pickle=False)
    return file.getvalue()


def _array(folder: Path, name: str, manifest: AtlasManifest) -> FloatArray:
    """Read one array, checked against the manifest."""
    path = folder / f"{name}.npy"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UadBenchError(f"{path}: {error.strerror or error}; build the atlas again") from None
    if hashlib.sha256(data).hexdigest() != manifest.sha256.get(name):
        raise UadBenchError(
            f"{path}: damaged, its SHA-256 is not the manifest's; build the atlas again"
        )
    values: FloatArray = np.load(io.BytesIO(data), allow_pickle=False)
    shape = (len(TISSUES), *manifest.grid_shape)
    if values.shape != shape:
        raise UadBenchError(
            f"{path}: is {values.shape}, and the manifest says {shape}; build the atlas again"
        )
    return values


def _in_words(recipe: Recipe) -> str:
    return (
        f"{recipe.name} ({recipe.hash}: {recipe.template}, {recipe.pixel_mm:g} mm pixels, "
        f"{recipe.slice_mm:g} mm slices)"
    )


def _grid_in_words(shape: tuple[int, int, int], affine: Iterable[Iterable[float]]) -> str:
    origin = ", ".join(f"{list(row)[3]:g}" for row in list(affine)[:3])
    return f"grid {' x '.join(map(str, shape))} from ({origin}) mm"
