"""Phantoms as a scanner writes them: turned, shifted, on its own grid, the way to MNI152 known."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from uad_bench.dataset import Split
from uad_bench.phantom.brain.anatomy import WORK_ORIGIN
from uad_bench.phantom.brain.fields import Array
from uad_bench.phantom.datasets import template_displacement
from uad_bench.phantom.layouts import (
    whole_folder,
    write_description,
    write_image,
    write_json,
    write_people,
)
from uad_bench.phantom.scan import PhantomScan
from uad_bench.phantom.specs import dataset_spec
from uad_bench.volumes.grid import Affine, Grid
from uad_bench.volumes.steps.resample import resample

MAX_TURN: Final = 30.0
"""Largest angle in degrees by which a head is turned, about any axis."""
MAX_SHIFT: Final = 40.0
"""Largest shift in mm along each axis."""

_MARGIN: Final = 12.0
"""Field of view around the brain in mm."""
_EVERY: Final = 4
"""The truth is kept for every fourth voxel in each direction, as far as it is brain."""
_SCANNER: Final = 1
"""NIfTI-1 code of the coordinate system: the scanner's."""
_MARKER_TEXT: Final = """\
The scans in this folder are simulated: no patient was scanned.
They are raw scans of the simulated dataset '{dataset}', skull-stripped, in BIDS layout; the true
way from their world coordinates to MNI152 is in derivatives/truth. Written by uad-bench.
"""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a raw scan's grid lies.

    Attributes:
        name: in words.
        axes: where the three axes of the array grow to, as nibabel's codes; slices are the last.
        spacing_mm: voxel size along them.
        tilt: angle in degrees between the grid and the scanner's axes (an oblique affine).
        cut_mm: what the field of view misses at the last slices.
    """

    name: str
    axes: str
    spacing_mm: tuple[float, float, float]
    tilt: float = 0.0
    cut_mm: float = 0.0


PROTOCOLS: Final = (
    Protocol("axial 1 mm", "RAS", (1.0, 1.0, 1.0)),
    Protocol("axial 0.9 x 0.9 x 5 mm", "LPS", (0.9, 0.9, 5.0)),
    Protocol("sagittal 1 x 1 x 1.2 mm", "PSR", (1.0, 1.0, 1.2)),
    Protocol("coronal 0.9 x 0.9 x 3 mm, oblique", "LSA", (0.9, 0.9, 3.0), tilt=12.0),
    Protocol("axial 0.9 x 0.9 x 6.5 mm, oblique, cut", "LAS", (0.9, 0.9, 6.5), 15.0, 15.0),
)
"""Taken in turn by the subjects of a raw dataset."""


@dataclass(frozen=True, slots=True)
class RawPhantom:
    """One simulated, skull-stripped FLAIR on a scanner's grid.

    Attributes:
        subject: running number of the subject in its dataset, from 1.
        session: running number of the time point, ``None`` for a single one.
        split: the part of the protocol it belongs to.
        protocol: how its grid lies.
        flair: float32 ``[X, Y, Z]``, scanner units, 0 outside the brain.
        lesion: uint8 ``[X, Y, Z]``, 1 in a lesion of the dataset's disease.
        brain: uint8 ``[X, Y, Z]``.
        affine: voxel to the scanner's world in mm (RAS+).
        to_phantom: the scanner's world to that of the phantom it was made from (rigid).
        to_mni152: the scanner's world to MNI152: of all affine ways the one that comes nearest,
            in the least-squares sense over the brain, to where the simulation put each place.
        points: float64 ``[N, 3]``, places of the brain in the scanner's world.
        targets: float64 ``[N, 3]``, where the simulation had each of them from, in MNI152.
    """

    subject: int
    session: int | None
    split: Split
    protocol: Protocol
    flair: Array
    lesion: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    affine: Affine
    to_phantom: Affine
    to_mni152: Affine
    points: NDArray[np.float64]
    targets: NDArray[np.float64]

    def error_mm(self, to_mni152: Affine) -> float:
        """Mean distance over the brain between a way to MNI152 and the best affine one."""
        return _mean_distance(moved(self.points, to_mni152), moved(self.points, self.to_mni152))

    def full_error_mm(self, to_mni152: Affine) -> float:
        """Mean distance over the brain between a way to MNI152 and the simulation's own.

        The simulation's is not affine: the best affine one has a distance from it, too.
        """
        return _mean_distance(moved(self.points, to_mni152), self.targets)


def moved(points: NDArray[np.float64], affine: Affine) -> NDArray[np.float64]:
    """Points ``[N, 3]`` under an affine."""
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)


def raw_phantom(
    dataset: str, scan: PhantomScan, *, seed: int, protocol: Protocol | None = None
) -> RawPhantom:
    """Scan a phantom again: at another place and angle, on another grid.

    Args:
        dataset: the simulated dataset that ``scan`` is from.
        scan: as `simulate_subject` made it from the template, without other anatomies.
        seed: the seed it was made with; the pose is drawn from it, too.
        protocol: the grid; by default `PROTOCOLS` in turn.
    """
    draws = np.random.SeedSequence(
        [seed, zlib.crc32(f"raw {dataset}".encode()), scan.subject, scan.session or 0]
    )
    rng = np.random.default_rng(draws)
    protocol = protocol or PROTOCOLS[(scan.subject - 1) % len(PROTOCOLS)]
    brain_voxels = np.argwhere(scan.brain).astype(np.float64)
    places = moved(brain_voxels, scan.affine)
    pose = _pose(rng, places.mean(axis=0))
    affine, shape = _grid(protocol, moved(places, pose), rng)
    grid = Grid(affine, shape)
    source = pose @ scan.affine
    brain = resample(scan.brain, source, grid) >= 0.5
    wanted = scan.lesion == 1 if dataset_spec(dataset).disease == "vascular" else scan.lesion > 0

    kept = places[(brain_voxels % _EVERY == 0).all(axis=1)]
    targets = kept + _displacement_at(template_displacement(dataset, scan.subject, seed=seed), kept)
    points = moved(kept, pose)
    return RawPhantom(
        subject=scan.subject,
        session=scan.session,
        split=scan.split,
        protocol=protocol,
        flair=resample(scan.flair, source, grid) * brain,
        lesion=(resample(wanted, source, grid) >= 0.5).astype(np.uint8),
        brain=brain.astype(np.uint8),
        affine=affine,
        to_phantom=np.asarray(np.linalg.inv(pose), dtype=np.float64),
        to_mni152=_nearest_affine(points, targets),
        points=points,
        targets=targets,
    )


def write_raw(dataset: str, folder: Path, scans: Iterable[RawPhantom]) -> None:
    """Write raw phantoms as a BIDS dataset; the folder appears when it is whole.

    Lesion masks are in ``derivatives/manual``, beside them the brain masks of every second
    subject; the true way to MNI152 is in ``derivatives/truth``.

    Args:
        dataset: the simulated dataset they are from.
        folder: must not exist yet, or be empty.
        scans: written one by one as they come.

    Raises:
        UadBenchError: a folder with something in it.
    """
    with whole_folder(folder, _MARKER_TEXT.format(dataset=dataset)) as partial:
        write_description(partial, f"{dataset}, raw (simulated)", "raw")
        splits: dict[str, Split] = {}
        for scan in scans:
            splits[f"sub-{scan.subject:03d}"] = scan.split
            _write_scan(partial, scan)
        write_people(partial, splits)


def _write_scan(folder: Path, scan: RawPhantom) -> None:
    subject = f"sub-{scan.subject:03d}"
    session = None if scan.session is None else f"ses-{scan.session:02d}"
    anat = Path(subject, session or "", "anat")
    stem = "_".join(part for part in (subject, session) if part)
    # Integers as scanners write them, in which 0 stays background and nothing else becomes it.
    stored = np.maximum(np.rint(scan.flair), scan.flair > 0).astype(np.int16)
    _save(folder / anat / f"{stem}_FLAIR.nii.gz", stored, scan.affine)
    manual = folder / "derivatives" / "manual" / anat
    if scan.lesion.any():
        _save(manual / f"{stem}_label-lesion_mask.nii.gz", scan.lesion, scan.affine)
    if scan.subject % 2 == 0:
        _save(manual / f"{stem}_desc-brain_mask.nii.gz", scan.brain, scan.affine)
    write_json(
        folder / "derivatives" / "truth" / anat / f"{stem}_to-MNI152_xfm.json",
        {
            "Description": "world coordinates of the scan to MNI152, mm, RAS+; the best affine",
            "Matrix": scan.to_mni152.tolist(),
            "Protocol": scan.protocol.name,
            "Simulated": True,
        },
    )


def _save(path: Path, stored: NDArray[np.generic], affine: Affine) -> None:
    """Write integers."""
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code=_SCANNER)
    image.set_qform(affine, code=_SCANNER)
    image.header.set_xyzt_units("mm")
    write_image(path, image)


def _pose(rng: np.random.Generator, centre: NDArray[np.float64]) -> Affine:
    """A turn about ``centre`` by up to `MAX_TURN` and a shift: the phantom's world to the raw."""
    axis = rng.standard_normal(3)
    angle = np.deg2rad(rng.uniform(MAX_TURN / 3, MAX_TURN))
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
    pose[:3, 3] = centre - pose[:3, :3] @ centre + rng.uniform(-MAX_SHIFT, MAX_SHIFT, 3)
    return pose


def _grid(
    protocol: Protocol, brain: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Affine, tuple[int, int, int]]:
    """A grid of this protocol around the brain's places ``[N, 3]``: its affine and shape."""
    ornt = nib.orientations.axcodes2ornt(tuple(protocol.axes))
    axes = np.zeros((3, 3))
    axes[ornt[:, 0].astype(int), range(3)] = ornt[:, 1]
    tilt = Rotation.from_euler("x", rng.choice((-1, 1)) * protocol.tilt, degrees=True)
    axes = tilt.as_matrix() @ axes
    along = brain @ axes  # the places in mm along the array's axes
    low, high = along.min(axis=0) - _MARGIN, along.max(axis=0) + _MARGIN
    high[2] -= protocol.cut_mm + (_MARGIN if protocol.cut_mm else 0.0)
    spacing = np.array(protocol.spacing_mm)
    i, j, k = (int(np.ceil(n)) for n in (high - low) / spacing)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = axes @ (low + rng.uniform(-0.5, 0.5, 3))
    return affine, (i, j, k)


def _displacement_at(displacement: Array, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The displacement ``[3, X, Y, Z]`` of the working grid at places ``[N, 3]`` in mm."""
    at = (places - np.array(WORK_ORIGIN)).T
    parts = [ndimage.map_coordinates(part, at, order=1, mode="nearest") for part in displacement]
    return np.stack(parts, axis=1).astype(np.float64)


def _nearest_affine(points: NDArray[np.float64], targets: NDArray[np.float64]) -> Affine:
    """The affine that brings points to targets with the least sum of squared distances."""
    homogeneous = np.column_stack([points, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(homogeneous, targets, rcond=None)
    affine = np.eye(4)
    affine[:3] = solution.T
    return affine


def _mean_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(first - second, axis=1).mean())
