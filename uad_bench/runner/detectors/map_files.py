"""Anomaly maps in NIfTI files of another program: which belongs to which scan, and its scores."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation
from numpy.typing import NDArray

from uad_bench.arrays import refuse_map
from uad_bench.cells import EvaluationSpace, short_hash, shortened
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import BrainSlices, PostProcessing
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.plugins.declarations import MOST_NAME
from uad_bench.runner.detectors.scoring import ScoredMap
from uad_bench.volumes.files.nifti import Volume, parse_volume, read_content
from uad_bench.volumes.files.place import align
from uad_bench.volumes.grid import Affine
from uad_bench.volumes.steps.native import scores_on
from uad_bench.volumes.steps.resample import resample
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

_ENDINGS = (".nii.gz", ".nii")
_NAMED = 3
"""How many scans or files a message names."""

HEALTHY = "healthy"
"""The folder, in that of the maps, with those of healthy validation scans."""


@dataclass(frozen=True, slots=True)
class MadeElsewhere:
    """Anomaly maps of another program.

    Attributes:
        folder: the maps of the evaluated dataset's test scans.
        title: what tables call the method.
        healthy: the maps of the training dataset's validation scans; ``None`` without thresholds.
        supervised: whether the method saw lesion masks in training.
    """

    folder: Path
    title: str
    healthy: Path | None
    supervised: bool

    @property
    def method(self) -> str:
        """Its name in cells and on the command line: the title in small letters and hyphens."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return shortened(words, MOST_NAME["method"]) if words else f"maps-{short_hash(self.title)}"


def find_maps(
    folder: Path, scans: Sequence[PreparedScan], passed_over: Collection[str], whose: str
) -> dict[str, Path]:
    """Find the map of every scan: a NIfTI file that is called like it.

    Args:
        folder: holds ``NAME.nii.gz`` or ``NAME.nii`` for every scan; folders in it are not read.
        scans: the scans.
        passed_over: names of scans that do not take part; their maps may be there.
        whose: what a message calls the scans, such as ``test scan of mslub``.

    Raises:
        UadBenchError: no map in it, a map of no scan or two of one, or none of a scan.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((one for one in _ENDINGS if path.name.endswith(one)), None)
        if ending is None or path.name.startswith(".") or not path.is_file():
            continue
        other = found.setdefault(path.name.removesuffix(ending), path)
        if other != path:
            raise UadBenchError(f"{other} and {path.name}: keep one of them")
    names = [scan.name for scan in scans]
    if not found:
        raise UadBenchError(
            f"{folder}: no map; name each after its {whose}, such as {names[0]}.nii.gz"
        )
    strange = [name for name in found if name not in names and name not in passed_over]
    if strange:
        near = get_close_matches(strange[0], names, n=1, cutoff=0.3) or names[:1]
        raise UadBenchError(
            f"{folder}: no {whose} is called {_listed(strange)}; a map is named after its scan, "
            f"such as {near[0]}.nii.gz"
        )
    if missing := [name for name in names if name not in found]:
        raise UadBenchError(
            f"{folder}: {len(missing)} of {len(names)} maps are missing, one per {whose}: "
            f"{_listed(missing)}; add them, or leave the scan out of every table with "
            "`uad-bench exclude`"
        )
    return {name: found[name] for name in names}


def read_scores(
    path: Path,
    dataset: PreparedDataset,
    scan: PreparedScan,
    postprocessings: Sequence[PostProcessing],
    space: EvaluationSpace,
) -> ScoredMap:
    """Read one map, check it, and bring it to the voxels that are scored.

    The map is on the prepared grid or on the scan's own. One on the scan's own grid comes to the
    prepared one as the scan itself did, by the mean over each voxel. One on the prepared grid comes
    to the scan's own voxels as the maps of a detector do.

    Args:
        path: the file.
        dataset: the prepared dataset.
        scan: the scan.
        postprocessings: a map says nothing of a residual's sign; of ``star`` only the filter has an
            effect.
        space: the voxels that are scored.

    Raises:
        UadBenchError: in one line, a file that cannot be read, another grid, or other values than
            those of an anomaly map.
    """
    content = read_content(path)
    volume = parse_volume(path, content)
    grid, slices, native = dataset.grid, dataset.slices(scan), dataset.native(scan)
    own = np.linalg.inv(np.array(scan.standard.to_mni152)) @ native.affine
    on_grid = _laid_on(volume, grid.shape, grid.affine)
    on_own = _laid_on(volume, native.brain.shape, own)
    what, shown, lesion = f"{path}: the map", slices.brain[:, 0], dataset.lesion(scan)
    z, spacing = slices.z, slices.spacing
    if on_grid is not None and (on_own is None or space == "template"):
        inside = np.zeros(grid.shape, dtype=np.bool_)
        inside[slices.z] = shown
        refuse_map(what, on_grid, inside)
        values = on_grid[slices.z]
    elif on_own is not None:
        refuse_map(what, on_own, native.brain)
        if space == "native":
            shown, lesion = native.brain[native.shown], native.lesion[native.shown]
            values, z, spacing = on_own[native.shown], native.shown, native.spacing
        else:
            values = resample(on_own, native.affine, grid)[slices.z].clip(0, 1)
    else:
        raise UadBenchError(
            f"{path}: its grid ({_size(volume.data.shape)} voxels) is neither that of the scan "
            f"{scan.name} ({_size(native.brain.shape)}) nor the prepared one "
            f"({_size(grid.shape)}): resample the map to one of them, and keep its affine"
        )
    plain = np.ascontiguousarray(values, dtype=np.float32)
    brain = BrainSlices(np.asarray(shown), z, spacing)
    maps = {one.name: one.apply(plain, brain) for one in postprocessings}
    levels = {name: quantise(one) for name, one in maps.items()}
    if space == "native" and on_own is None:
        levels = {
            name: scores_on(native, one, slices.z, grid)[native.shown]
            for name, one in levels.items()
        }
    return ScoredMap(
        maps,
        levels,
        brain=brain.brain,
        lesion=np.asarray(lesion),
        digest=hashlib.sha256(content).hexdigest(),
    )


def _laid_on(volume: Volume, shape: tuple[int, ...], affine: Affine) -> NDArray[Any] | None:
    """The map in a grid's order of axes; ``None`` where it has other voxels."""
    grid = Volume(volume.path, np.broadcast_to(np.uint8(0), shape), affine, volume.code)
    found = align(volume, grid)
    if found is None or not found.same:
        return None
    return np.asarray(apply_orientation(volume.data, found.axes))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
