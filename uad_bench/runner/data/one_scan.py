"""One scan of any origin on the template grid, and maps of the grid on that scan's own voxels."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from uad_bench.dataset import Scan
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.method import FloatArray, Slices
from uad_bench.phantom.layouts import is_simulated
from uad_bench.runner.data.gather import STORES
from uad_bench.runner.data.source import cache_folder
from uad_bench.system.disk import writing
from uad_bench.volumes.checks.quality import failed, findings, measure
from uad_bench.volumes.grid import Affine, Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.native import sampled_on
from uad_bench.volumes.steps.read import LoadedScan
from uad_bench.volumes.steps.slices import slice_scan
from uad_bench.volumes.steps.space import template_grid
from uad_bench.volumes.store.inputs import scan_inputs
from uad_bench.volumes.store.prepare import STEPS_FOLDER
from uad_bench.volumes.store.standardise import Preparation, standardise

ENDINGS = (".nii.gz", ".nii")
"""How the name of a NIfTI file ends."""

_OTHER_SEQUENCE = re.compile(r"(?i)(t[12](w|ce|gd|starw|map)|pdw|bold|dwi|adc|swi|mprage)")
"""The last word of a name that says that a file is no FLAIR: BIDS suffixes, and those of BraTS."""

_LEAST_ECHO_S = 0.03
"""A FLAIR's echo time is 0.08 s and more. One below this makes a T1."""

_LEAST_VALUES = 20
"""A FLAIR has more different values in its brain than this; masks and label maps have fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class OneScan:
    """A scan that is prepared.

    Attributes:
        name: what messages and pictures call it.
        slices: its slices on the template grid, in z order.
        grid: the template grid.
        brain: bool, the brain on the scan's own voxels.
        affine: the scan's own voxels to MNI152 world, in mm.
        own: the scan as a NIfTI image, for its affine and header.
        simulated: whether it is a phantom, as far as its folder tells.
        warnings: what is odd about it, in words.
    """

    name: str
    slices: Slices
    grid: Grid
    brain: NDArray[np.bool_]
    affine: Affine
    own: nib.Nifti1Image
    simulated: bool = False
    warnings: tuple[str, ...] = ()

    def from_grid(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Bring ``[n, H, W]`` of the slices to the scan's own voxels; 0 outside the brain."""
        found = sampled_on(self.affine, self.brain.shape, values, self.slices.z, self.grid)
        return np.where(self.brain, found, 0.0)

    def image(self, values: NDArray[Any]) -> nib.Nifti1Image:
        """Return values on the scan's own voxels as an image with the scan's own place."""
        header = self.own.header.copy()
        header.set_data_dtype(values.dtype)
        header.set_slope_inter(1.0, 0.0)
        header["cal_min"], header["cal_max"] = 0.0, 1.0
        return nib.Nifti1Image(values, self.own.affine, header)


def prepare_file(
    path: Path, recipe: Recipe, template: Path | None, brain: Path | None, cache: Path | None
) -> OneScan:
    """Bring a NIfTI file to the template grid, as a run would: strip, register, normalise, slice.

    Args:
        path: the FLAIR, with its skull or without, in any space.
        recipe: how.
        template: the folder of SRI24, where scans are registered to it.
        brain: a brain mask; found where it is not given.
        cache: where costly steps are kept; the user's cache by default.

    Raises:
        UadBenchError: in one line: what is wrong with the scan, or which tool is missing.
    """
    for file in (path, *(() if brain is None else (brain,))):
        _refuse_ending(file)
    _refuse_sequence(path)
    # Nobody evaluates it, so that a mask is not missed.
    scan = Scan(subject=path.name, flair=path, brain_mask=brain, split="test", healthy=True)
    steps = cache_folder(cache) / STORES / STEPS_FOLDER
    preparation = Preparation(recipe, steps, path.parent, template)
    (item,) = scan_inputs([scan], path.parent)
    loaded, standard = standardise(item, preparation)
    _refuse_labels(path, loaded)
    quality = measure(loaded)
    if standard.registered and (misfit := failed(quality)) is not None:
        raise ScanError(f"{path}: {misfit}")
    cut = slice_scan(loaded, path, recipe, preparation.grid)
    if not len(cut.z):
        raise ScanError(f"{path}: no slice of the template shows its brain; check the brain mask")
    slices = _slices(cut.image, cut.brain, cut.z, recipe)
    return OneScan(
        path.name,
        slices,
        preparation.grid,
        loaded.brain,
        loaded.affine,
        nib.load(path),
        is_phantom(path),
        findings(quality),
    )


def prepare_image(
    image: Any, recipe: Recipe, template: Path | None, brain: Any, cache: Path | None
) -> OneScan:
    """Bring a nibabel image to the template grid; as :func:`prepare_file`.

    Raises:
        UadBenchError: in one line: what is wrong with the scan, or which tool is missing.
    """
    file = image.get_filename()
    if file is not None:
        _refuse_sequence(Path(file))
    with tempfile.TemporaryDirectory(prefix="uad-bench-") as folder:
        paths = [Path(folder) / "scan.nii"]
        _write(image, paths[0])
        if brain is not None and not isinstance(brain, str | Path):
            paths.append(Path(folder) / "brain.nii")
            _write(brain, paths[1])
        mask = paths[1] if len(paths) > 1 else None if brain is None else Path(brain)
        try:
            found = prepare_file(paths[0], recipe, template, mask, cache)
        except UadBenchError as error:
            raise type(error)(str(error).replace(f"{folder}/", "")) from error.__cause__
    simulated = file is not None and is_phantom(Path(file))
    own = nib.Nifti1Image.from_image(image)
    return replace(found, name="scan", own=own, simulated=simulated)


def is_phantom(path: Path) -> bool:
    """Whether a file is in a folder of simulated scans."""
    return any(is_simulated(folder) for folder in path.absolute().parents)


def _write(image: Any, file: Path) -> None:
    with writing(file):
        nib.save(_unscaled(image), file)


def _unscaled(image: Any) -> nib.Nifti1Image:
    """Return an image as NIfTI whose file holds the same values, not rounded to integers."""
    found = nib.Nifti1Image.from_image(image)
    values = np.asarray(found.dataobj, dtype=np.float32)
    header = found.header.copy()
    header.set_data_dtype(np.float32)
    header.set_slope_inter(1.0, 0.0)
    return nib.Nifti1Image(values, found.affine, header)


def prepared_array(values: NDArray[Any], recipe: Recipe, brain: NDArray[Any] | None) -> OneScan:
    """Take an array that is prepared already: ``[Z, H, W]`` on the template grid, in [0, 1].

    Args:
        values: 0 outside the brain.
        recipe: that it was prepared with.
        brain: the brain on the same grid; without one, what is not 0, its holes filled.

    Raises:
        UadBenchError: another shape, or other values.
    """
    grid = template_grid(recipe)
    image = np.asarray(values, dtype=np.float32)
    if image.shape != grid.shape:
        raise UadBenchError(
            f"an array of {image.shape}, and the prepared grid of recipe {recipe.name} is "
            f"{grid.shape}: give affine=, voxel to world in mm, so that it can be prepared"
        )
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise UadBenchError(
            "an array on the prepared grid must be normalised to [0, 1], without NaN: give affine= "
            "to have it prepared"
        )
    inside = np.asarray(binary_fill_holes(image > 0) if brain is None else brain, dtype=np.bool_)
    if inside.shape != grid.shape or not inside.any():
        raise UadBenchError(
            "an array without a brain: every voxel is 0, or the brain mask is empty"
        )
    keep = np.flatnonzero(inside.any(axis=(1, 2))).astype(np.int64)
    slices = _slices(image[keep], inside[keep].astype(np.uint8), keep, recipe)
    own = nib.Nifti1Image(image, grid.affine)
    return OneScan("array", slices, grid, inside, grid.affine, own)


def _slices(
    image: FloatArray, brain: NDArray[np.uint8], z: NDArray[np.int64], recipe: Recipe
) -> Slices:
    spacing = (recipe.slice_mm, recipe.pixel_mm, recipe.pixel_mm)
    return Slices(image[:, None], brain.astype(np.bool_)[:, None], z, spacing)


def _refuse_ending(path: Path) -> None:
    """Refuse what is no NIfTI file by its name.

    Raises:
        ScanError: saying what to do.
    """
    if path.is_dir():
        raise ScanError(f"{path}: a folder; give a .nii or .nii.gz file")
    if not path.name.lower().endswith(ENDINGS):
        raise ScanError(f"{path}: unknown ending; give a .nii or .nii.gz file (DICOM: dcm2niix)")


def _refuse_sequence(path: Path) -> None:
    """Refuse what is certainly no FLAIR, by its name or its BIDS sidecar.

    Raises:
        ScanError: saying so.
    """
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    word = re.split(r"[_.\s-]", stem)[-1]
    advice = "detectors learn from FLAIR, and a map of another sequence means nothing"
    if _OTHER_SEQUENCE.fullmatch(word) and "flair" not in stem.lower():
        raise ScanError(f"{path}: {word} by its name, and no FLAIR; {advice}")
    sidecar = path.with_name(f"{stem}.json")
    try:
        said = json.loads(sidecar.read_bytes())
    except (OSError, ValueError):
        return
    echo = said.get("EchoTime") if isinstance(said, dict) else None
    if isinstance(echo, int | float) and 0 < echo < _LEAST_ECHO_S:
        raise ScanError(
            f"{path}: {sidecar.name} says EchoTime {echo:g} s, as of a T1, and no FLAIR; {advice}"
        )


def _refuse_labels(path: Path, loaded: LoadedScan) -> None:
    """Refuse a mask or a label map, which is no image.

    Raises:
        ScanError: saying so.
    """
    different = len(np.unique(loaded.image[loaded.brain]))
    if different < _LEAST_VALUES:
        raise ScanError(
            f"{path}: {different} different values in the brain, as in a mask or a label map; "
            "give the FLAIR"
        )
