"""What a detector says of one scan: anomaly map, mask and reconstruction on the scan's own grid."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from uad_bench import __version__
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.method import FloatArray, Method
from uad_bench.runner.data.one_scan import ENDINGS, OneScan
from uad_bench.runner.detectors.scoring import brain_on, signed_residual
from uad_bench.system.disk import write_whole

if TYPE_CHECKING:
    import nibabel as nib

_TOP = LEVELS - 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prediction:
    """An anomaly map of one scan, on the voxels of that scan. ``Detector.predict`` returns one.

    Attributes:
        scan: name of the scan.
        map: anomaly map, float32 in [0, 1], shape and axes of the scan; 0 outside the brain.
        mask: bool, where the map reaches the threshold; ``None`` for a detector without one.
        reconstruction: the pseudo-healthy scan, float32, in the recipe's normalised intensities;
            ``None`` where the method makes none.
        brain: bool, the brain that was looked at.
        affine: voxel to the scan's own world, mm.
        threshold: score that 1 % of the healthy validation voxels reach.
        detector: title of the detector.
        postprocessing: name of how the residual became the map.
        scan_simulated: whether the scan is a phantom, as far as its folder tells.
        detector_simulated: whether the detector learned from simulated people.
        warnings: what is odd about the scan, in words, such as that it looks like a T1.

    Examples:
        >>> import uad_bench as ub
        >>> detector = ub.fit("thresholding", data_root="data", progress=False)
        >>> found = detector.predict("data/MSLUB/patient11/FLAIR.nii.gz")
        >>> found
        Thresh. on FLAIR.nii.gz: (..., ..., ...), ... ml in the mask
        >>> bool(found.map[~found.brain].any())
        False
        >>> found.image.shape == found.map.shape
        True
    """

    scan: str
    map: FloatArray
    mask: NDArray[np.bool_] | None
    reconstruction: FloatArray | None
    brain: NDArray[np.bool_]
    affine: NDArray[np.float64]
    threshold: float | None
    detector: str
    postprocessing: str
    scan_simulated: bool
    detector_simulated: bool
    warnings: tuple[str, ...]
    _prepared: OneScan
    _shown: _Slice

    def __repr__(self) -> str:
        found = "no mask" if self.mask is None else f"{self.volume_ml:.2f} ml in the mask"
        return f"{self.detector} on {self.scan}: {self.map.shape}, {found}"

    @property
    def volume_ml(self) -> float:
        """Volume of the mask in ml; 0 without one."""
        voxel = abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0
        return 0.0 if self.mask is None else int(self.mask.sum()) * voxel

    @property
    def image(self) -> nib.Nifti1Image:
        """The anomaly map as a nibabel image."""
        return self._prepared.image(self.map)

    def save(self, path: str | Path) -> tuple[Path, ...]:
        """Write the map as NIfTI; mask, reconstruction and what is known of them go beside it.

        Args:
            path: such as ``map.nii.gz``. The mask is then ``map_mask.nii.gz``, the reconstruction
                ``map_reconstruction.nii.gz``, and ``map_prediction.json`` says what detector made
                them and what is odd about the scan. Files that are there are replaced, and a mask
                or reconstruction that this map does not have is removed.

        Returns:
            The files that were written.

        Raises:
            UadBenchError: another ending, a folder of that name, or it cannot be written.
        """
        path = Path(path)
        stem, ending = split_ending(path)
        arrays: dict[Path, NDArray[np.generic]] = {path: self.map}
        mask = path.with_name(f"{stem}_mask{ending}")
        reconstruction = path.with_name(f"{stem}_reconstruction{ending}")
        if self.mask is not None:
            arrays[mask] = self.mask.astype(np.uint8)
        if self.reconstruction is not None:
            arrays[reconstruction] = self.reconstruction
        about = path.with_name(f"{stem}_prediction.json")
        for file in (*arrays, about):
            if file.is_dir():
                raise UadBenchError(f"{file}: a folder; name a file")
        for file, values in arrays.items():
            data = self._prepared.image(values).to_bytes()
            is_packed = file.name.lower().endswith(".gz")
            write_whole(file, gzip.compress(data, mtime=0) if is_packed else data)
        for file in {mask, reconstruction} - arrays.keys():
            file.unlink(missing_ok=True)  # of an earlier map that had one
        write_whole(about, (json.dumps(self._said(), indent=1) + "\n").encode())
        return (*arrays, about)

    def _said(self) -> dict[str, object]:
        """What ``save`` writes beside the map."""
        return {
            "scan": self.scan,
            "scan_simulated": self.scan_simulated,
            "detector": self.detector,
            "detector_simulated": self.detector_simulated,
            "postprocessing": self.postprocessing,
            "threshold": self.threshold,
            "mask_ml": None if self.mask is None else round(self.volume_ml, 3),
            "warnings": self.warnings,
            "uad_bench": __version__,
        }

    def picture(self) -> bytes:
        """Return a PNG of the slice with the largest mask: scan, mask, reconstruction and score."""
        from uad_bench.report.figures.cells import cell_picture

        learned = ", trained on simulated brains" if self.detector_simulated else ""
        return cell_picture(
            self._shown.image,
            self._shown.mask,
            self._shown.reconstruction,
            self._shown.score,
            title=f"{self.detector}{learned}: {self.scan}",
            simulated=self.scan_simulated,
            outline="mask at the threshold",
            warnings=self.warnings,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """One slice of the template grid, to show."""

    image: FloatArray
    mask: NDArray[np.uint8]
    reconstruction: FloatArray | None
    score: FloatArray


def predict(
    method: Method,
    prepared: OneScan,
    postprocessing: PostProcessing,
    threshold: int | None,
    *,
    title: str,
    simulated: bool,
) -> Prediction:
    """Score a prepared scan, and bring everything to its own voxels.

    Args:
        method: fitted.
        prepared: the scan.
        postprocessing: how a residual becomes a map.
        threshold: score level from which a voxel is in the mask.
        title: of the detector.
        simulated: whether the detector learned from simulated people.
    """
    residual, rebuilt = signed_residual(method, prepared.slices)
    levels = quantise(postprocessing.apply(residual, brain_on(prepared.slices)))
    own = np.rint(prepared.from_grid(levels)).astype(np.uint16)
    brain = prepared.slices.brain[:, 0]
    found = np.zeros(brain.shape, np.bool_) if threshold is None else (levels >= threshold) & brain
    sizes = found.sum(axis=(1, 2)) if found.any() else np.where(brain, levels, 0).max(axis=(1, 2))
    at = int(sizes.argmax())
    return Prediction(
        scan=prepared.name,
        map=(own / np.float32(_TOP)).astype(np.float32),
        mask=None if threshold is None else (own >= threshold) & prepared.brain,
        reconstruction=(
            None if rebuilt is None else prepared.from_grid(rebuilt).astype(np.float32)
        ),
        brain=prepared.brain,
        affine=np.asarray(prepared.own.affine, dtype=np.float64),
        threshold=None if threshold is None else threshold / _TOP,
        detector=title,
        postprocessing=postprocessing.name,
        scan_simulated=prepared.simulated,
        detector_simulated=simulated,
        warnings=prepared.warnings,
        _prepared=prepared,
        _shown=_Slice(
            np.array(prepared.slices.image[at, 0]),
            found[at].astype(np.uint8),
            None if rebuilt is None else rebuilt[at].copy(),
            np.where(brain[at], levels[at] / np.float32(_TOP), np.float32(0)),
        ),
    )


def split_ending(path: Path) -> tuple[str, str]:
    """Split the name of a NIfTI file into stem and ending.

    Raises:
        UadBenchError: it ends otherwise.
    """
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending) and len(name) > len(ending):
            return path.name[: -len(ending)], path.name[-len(ending) :]
    raise UadBenchError(f"{path}: unknown ending; name a .nii or .nii.gz file")
