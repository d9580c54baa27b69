"""Anomaly maps of a detector on a dataset: computed once, stored as 16-bit scores, checked."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_bench.cells import EvaluationSpace
from uad_bench.dataset import Split
from uad_bench.errors import PluginError
from uad_bench.evaluation.postprocessing import BrainSlices, PostProcessing
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.evaluation.scores.ordering import Ordering, ordering
from uad_bench.method import FloatArray, Method, ReconstructionMethod, Slices
from uad_bench.runner.events import Listener, Progressed
from uad_bench.system.disk import writing
from uad_bench.volumes.steps.native import scores_on
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


@dataclass(frozen=True, slots=True, eq=False)
class ScoredMap:
    """The scores of one scan: a detector's, or those of a map that was made elsewhere.

    Attributes:
        maps: per post-processing, float32 ``[N, H, W]``.
        levels: per post-processing, uint16 scores ``[N, H, W]`` on the voxels that are scored.
        brain: bool ``[N, H, W]``, on the voxels of ``maps``.
        lesion: ``[N, H, W]``, on the same.
        reconstruction: float32 ``[N, H, W]``; ``None`` where there is none.
        digest: SHA-256 of the file; empty for a detector.
    """

    maps: Mapping[str, FloatArray]
    levels: Mapping[str, NDArray[np.uint16]]
    brain: NDArray[np.bool_]
    lesion: NDArray[np.uint8]
    reconstruction: FloatArray | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """The slice that a cell's picture shows.

    Attributes:
        scan: name of the scan.
        image: float32 ``[H, W]``.
        lesion: uint8 ``[H, W]``.
        reconstruction: float32 ``[H, W]``, ``None`` where the method makes none.
        scores: per post-processing, float32 ``[H, W]``.
    """

    scan: str
    image: FloatArray
    lesion: NDArray[np.uint8]
    reconstruction: FloatArray | None
    scores: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyMaps:
    """Scores of a split of a dataset, or of some of its scans.

    Attributes:
        dataset: the prepared dataset.
        scans: the scans that were scored, in order.
        space: the voxels of the scores.
        levels: per post-processing, the scores of each scan, uint16 ``[N, H, W]``.
        example: what to show of the split, where the scan is among these; ``None`` where no scan
            has a lesion, or in native space.
        orderings: per post-processing, what 16 bits keep of the order of each scan's map.
        digests: of the files of the maps, where they were made elsewhere.
        folder: where the scores are, and what is to be kept as long as they are.
    """

    dataset: PreparedDataset
    scans: Sequence[PreparedScan]
    space: EvaluationSpace
    levels: Mapping[str, Sequence[NDArray[np.uint16]]]
    example: Example | None
    orderings: Mapping[str, Sequence[Ordering]]
    digests: Sequence[str]
    folder: Path

    def scored(
        self, postprocessing: str, space: EvaluationSpace = "template"
    ) -> Iterator[ScoredScan]:
        """Yield scan after scan what the evaluation needs, on the grid or on its own voxels."""
        for scan, levels in zip(self.scans, self.levels.get(postprocessing, ()), strict=True):
            scores = np.asarray(levels)
            if space != self.space:
                native, z = self.dataset.native(scan), self.dataset.slices(scan).z
                scores = scores_on(native, scores, z, self.dataset.grid)[native.shown]
            yield scored_scan(self.dataset, scan, scores, space)


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
    *,
    some: slice = slice(None),
    folder: Path | None = None,
) -> Iterator[AnomalyMaps]:
    """Score every scan of ``split`` once; the maps live in a temporary file inside the block.

    Args:
        method: the detector.
        dataset: the prepared dataset.
        split: whose scans.
        postprocessings: what makes maps of residuals.
        tell: told about every scan.
        some: which of the scans.
        folder: an empty folder where the maps stay.

    Raises:
        PluginError: if the method returns maps that break the contract.
        UadBenchError: if the disk with the temporary files is full.
    """

    def score(scan: PreparedScan) -> ScoredMap:
        slices = dataset.slices(scan)
        residual, reconstruction = signed_residual(method, slices)
        brain, lesion = brain_on(slices), np.asarray(dataset.lesion(scan))
        maps = {one.name: one.apply(residual, brain) for one in postprocessings}
        levels = {name: quantise(one) for name, one in maps.items()}
        return ScoredMap(maps, levels, brain.brain, lesion, reconstruction)

    with stored_maps(score, dataset, split, tell, some=some, folder=folder) as maps:
        yield maps


@contextmanager
def stored_maps(
    score: Callable[[PreparedScan], ScoredMap],
    dataset: PreparedDataset,
    split: Split,
    tell: Listener,
    space: EvaluationSpace = "template",
    *,
    some: slice = slice(None),
    folder: Path | None = None,
) -> Iterator[AnomalyMaps]:
    """Score scan after scan, and keep the scores in a temporary file inside the block.

    Args:
        score: scores one scan.
        dataset: the prepared dataset.
        split: whose scans.
        tell: told about every scan.
        space: the voxels that ``score`` scores.
        some: which of the scans.
        folder: an empty folder where the scores stay.

    Raises:
        UadBenchError: if the disk with the files is full.
    """
    everyone = dataset.scans_of(split)
    shown = typical_scan(everyone) if space == "template" else None
    scans = everyone[some]
    with ExitStack() as stack:
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="uad-bench-")
            folder = Path(stack.enter_context(made))
        found: defaultdict[str, list[Ordering]] = defaultdict(list)
        shapes: defaultdict[str, list[tuple[int, ...]]] = defaultdict(list)
        example, digests = None, list[str]()
        for number, scan in enumerate(scans):
            scored = score(scan)
            healthy = scored.lesion[scored.brain] == 0
            for name, levels in scored.levels.items():
                _append(folder / levels_file(name), levels)
                shapes[name].append(levels.shape)
                found[name].append(ordering(scored.maps[name][scored.brain], healthy))
            if scan is shown:
                example = example_slice(scan, dataset, scored)
            digests.append(scored.digest)
            tell(Progressed(number + 1, len(scans), scan.name))
        yield AnomalyMaps(
            dataset,
            scans,
            space,
            {name: read_levels(folder / levels_file(name), own) for name, own in shapes.items()},
            example,
            found,
            digests,
            folder,
        )


def levels_file(postprocessing: str) -> str:
    """Return the name of the file with the scores of scans."""
    return f"{postprocessing}.u16"


def read_levels(file: Path, shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.uint16]]:
    """Map the scores of one scan after the other from a file."""
    flat, ends = np.memmap(file, np.uint16, "r"), np.cumsum([prod(shape) for shape in shapes])
    return [
        part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)
    ]


def _append(file: Path, levels: NDArray[np.uint16]) -> None:
    """Add scores to a file. A memory map would end the process where the disk is full."""
    with writing(file), file.open("ab") as out:
        out.write(levels.tobytes())


def scores_by_residual(method: type[Method]) -> bool:
    """Whether :func:`signed_residual` gives a reconstruction of a method's."""
    return issubclass(method, ReconstructionMethod) and method.scores_by_residual


def signed_residual(method: Method, slices: Slices) -> tuple[FloatArray, FloatArray | None]:
    """The residual ``[N, H, W]`` in [-1, 1] and the reconstruction, where there is one.

    For a method that makes no reconstruction, or that scores in another way, the residual is its
    anomaly map.

    Raises:
        PluginError: if the method returns another shape, values that are not finite, or values
            outside [0, 1].
    """
    if isinstance(method, ReconstructionMethod) and method.scores_by_residual:
        image = checked(method, "reconstruct", method.reconstruct(slices), slices)
        return np.asarray(slices.image)[:, 0] - image, image
    return checked(method, "score", method.score(slices), slices), None


def brain_on(slices: Slices) -> BrainSlices:
    """What a post-processing is told of the slices of a scan."""
    return BrainSlices(np.asarray(slices.brain)[:, 0], slices.z, slices.spacing)


def checked(method: Method, call: str, array: object, slices: Slices) -> FloatArray:
    """Return the map as float32 ``[N, H, W]``, or say which promise it breaks."""
    values = np.asarray(array, dtype=np.float32)
    if values.shape != slices.image.shape:
        raise PluginError(
            f"{method.info.name}.{call}() returned shape {values.shape}, but its input has "
            f"{slices.image.shape}: return one map per slice"
        )
    if not (values.min() >= 0 and values.max() <= 1):
        if not np.isfinite(values).all():
            raise PluginError(f"{method.info.name}.{call}() returned values that are not finite")
        raise PluginError(
            f"{method.info.name}.{call}() returned values in "
            f"[{values.min():.3g}, {values.max():.3g}]: they must lie in [0, 1]"
        )
    return values[:, 0]


def typical_scan(scans: Sequence[PreparedScan]) -> PreparedScan | None:
    """The scan with the median lesion volume among those that have a lesion."""
    having = [scan for scan in scans if scan.has_lesion]
    having.sort(key=lambda scan: (scan.quality.lesion_ml_after or 0.0, scan.name))
    return having[len(having) // 2] if having else None


def example_slice(scan: PreparedScan, dataset: PreparedDataset, scored: ScoredMap) -> Example:
    """Cut out the slice with the largest lesion."""
    lesion, rebuilt = scored.lesion, scored.reconstruction
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    return Example(
        scan=scan.name,
        image=np.array(dataset.slices(scan).image[at, 0]),
        lesion=np.array(lesion[at]),
        reconstruction=None if rebuilt is None else rebuilt[at].copy(),
        scores={name: score[at].copy() for name, score in scored.maps.items()},
    )
