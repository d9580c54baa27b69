"""Anomaly maps of a detector on a dataset: computed once, stored as 16-bit scores, checked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_bench.cells import EvaluationSpace
from uad_bench.dataset import Split
from uad_bench.errors import PluginError
from uad_bench.evaluation.histograms import quantise
from uad_bench.evaluation.ordering import Ordering, mean_ordering, ordering
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.method import FloatArray, Method, ReconstructionMethod, Slices
from uad_bench.runner.events import Example, Listener, Progressed
from uad_bench.system.disk import writing
from uad_bench.volumes.steps.native import scores_on
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


@dataclass(frozen=True, slots=True)
class AnomalyMaps:
    """Scores of one detector on one split of one dataset.

    Attributes:
        dataset: the prepared dataset.
        scans: the scans that were scored, in order.
        levels: per post-processing, uint16 ``[N, H, W]`` over the slices of all scans.
        example: what to show, ``None`` where no scan has a lesion.
        orderings: per post-processing, what 16 bits keep of the maps' order.
    """

    dataset: PreparedDataset
    scans: Sequence[PreparedScan]
    levels: Mapping[str, NDArray[np.uint16]]
    example: Example | None
    orderings: Mapping[str, Ordering]

    def scored(
        self, postprocessing: str, space: EvaluationSpace = "template"
    ) -> Iterator[ScoredScan]:
        """Yield scan after scan what the evaluation needs, on the grid or on its own voxels."""
        start = 0
        for scan in self.scans:
            stop = start + scan.stop - scan.start
            scores = np.asarray(self.levels[postprocessing][start:stop])
            if space == "native":
                native, z = self.dataset.native(scan), self.dataset.slices(scan).z
                scores = scores_on(native, scores, z, self.dataset.grid)[native.shown]
            yield scored_scan(self.dataset, scan, scores, space)
            start = stop


def scored_scan(
    dataset: PreparedDataset,
    scan: PreparedScan,
    scores: NDArray[np.uint16],
    space: EvaluationSpace,
) -> ScoredScan:
    """Put scores beside a scan's truth.

    Args:
        dataset: the prepared dataset.
        scan: the scan.
        scores: uint16 ``[N, H, W]``, on the scan's slices, or in native space on those of its own
            slices that show brain.
        space: the voxels of the scores.
    """
    if space == "native":
        native = dataset.native(scan)
        z, spacing = native.shown, native.spacing
        lesion, brain = native.lesion[z], native.brain[z]
    else:
        slices = dataset.slices(scan)
        z, spacing = slices.z, slices.spacing
        lesion, brain = np.asarray(dataset.lesion(scan)), np.asarray(slices.brain[:, 0])
    return ScoredScan(
        subject=scan.subject,
        session=scan.session,
        scores=scores,
        lesion=lesion,
        brain=brain,
        spacing=spacing,
        z=z,
        healthy=scan.healthy,
    )


@contextmanager
def anomaly_maps(
    method: Method,
    dataset: PreparedDataset,
    split: Split,
    postprocessings: Sequence[PostProcessing],
    tell: Listener,
) -> Iterator[AnomalyMaps]:
    """Score every scan of ``split`` once; the maps live in a temporary file inside the block.

    Raises:
        PluginError: if the method returns maps that break the contract.
        UadBenchError: if the disk with the temporary files is full.
    """
    scans = [scan for scan in dataset.scans if scan.split == split]
    shown = typical_scan(scans, dataset)
    with tempfile.TemporaryDirectory(prefix="uad-bench-") as folder:
        files = {one.name: Path(folder) / f"{one.name}.u16" for one in postprocessings}
        example, shape = None, (0, 0)
        found: dict[str, list[Ordering]] = {one.name: [] for one in postprocessings}
        for number, scan in enumerate(scans):
            slices = dataset.slices(scan)
            residual, reconstruction = signed_residual(method, slices)
            shape = residual.shape[1:]
            scores = {one.name: one.apply(residual) for one in postprocessings}
            for name, score in scores.items():
                _append(files[name], quantise(score))
                brain = np.asarray(slices.brain[:, 0])
                healthy = np.asarray(dataset.lesion(scan))[brain] == 0
                found[name].append(ordering(score[brain], healthy))
            if scan is shown:
                example = example_slice(scan, slices, dataset, reconstruction, scores)
            tell(Progressed(number + 1, len(scans), scan.name))
        levels = {
            name: np.memmap(file, np.uint16, "r").reshape(-1, *shape)
            for name, file in files.items()
            if file.exists()
        }
        orderings = {name: mean_ordering(some) for name, some in found.items()}
        yield AnomalyMaps(dataset, scans, levels, example, orderings)


def _append(file: Path, levels: NDArray[np.uint16]) -> None:
    """Add scores to a file. A memory map would end the process where the disk is full."""
    with writing(file), file.open("ab") as out:
        out.write(levels.tobytes())


def signed_residual(method: Method, slices: Slices) -> tuple[FloatArray, FloatArray | None]:
    """The residual ``[N, H, W]`` in [-1, 1] and the reconstruction, where there is one.

    For a method that makes no reconstruction the residual is its anomaly map.

    Raises:
        PluginError: if the method returns another shape, values that are not finite, or values
            outside [0, 1].
    """
    if isinstance(method, ReconstructionMethod):
        image = checked(method, "reconstruct", method.reconstruct(slices), slices)
        return np.asarray(slices.image)[:, 0] - image, image
    return checked(method, "score", method.score(slices), slices), None


def checked(method: Method, call: str, array: object, slices: Slices) -> FloatArray:
    """Return the map as float32 ``[N, H, W]``, or say which promise it breaks."""
    values = np.asarray(array, dtype=np.float32)
    if values.shape != slices.image.shape:
        raise PluginError(
            f"{method.info.name}.{call}() returned shape {values.shape}, but its input has "
            f"{slices.image.shape}: return one map per slice"
        )
    if not np.isfinite(values).all():
        raise PluginError(f"{method.info.name}.{call}() returned values that are not finite")
    if values.min() < 0 or values.max() > 1:
        raise PluginError(
            f"{method.info.name}.{call}() returned values in "
            f"[{values.min():.3g}, {values.max():.3g}]: they must lie in [0, 1]"
        )
    return values[:, 0]


def typical_scan(scans: Sequence[PreparedScan], dataset: PreparedDataset) -> PreparedScan | None:
    """The scan with the median lesion volume among those that have a lesion."""
    having = [scan for scan in scans if scan.has_lesion]
    having.sort(key=lambda scan: (int((dataset.lesion(scan) == 1).sum()), scan.name))
    return having[len(having) // 2] if having else None


def example_slice(
    scan: PreparedScan,
    slices: Slices,
    dataset: PreparedDataset,
    reconstruction: FloatArray | None,
    scores: Mapping[str, FloatArray],
) -> Example:
    """Cut out the slice with the largest lesion."""
    lesion = np.asarray(dataset.lesion(scan))
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    return Example(
        scan=scan.name,
        image=np.array(slices.image[at, 0]),
        lesion=np.array(lesion[at]),
        reconstruction=None if reconstruction is None else reconstruction[at].copy(),
        scores={name: score[at].copy() for name, score in scores.items()},
    )
