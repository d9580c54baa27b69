"""A detector: a fitted method that scores any scan. What ``fit`` and ``predict`` are."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike
from rich.console import Console

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.strict import FPR
from uad_bench.evaluation.scores.histograms import ScoreHistogram, threshold_at_fpr
from uad_bench.front.prediction import Prediction, predict
from uad_bench.front.progress import LiveProgress
from uad_bench.histogram_files import load_histograms, save_histograms
from uad_bench.method import Method
from uad_bench.plugins.registry import Registry, open_registry
from uad_bench.runner.config import RunConfig, load_config
from uad_bench.runner.data.one_scan import OneScan, prepare_file, prepare_image, prepared_array
from uad_bench.runner.detectors.folder import (
    VALIDATION,
    DetectorRecord,
    find_method,
    histogram_key,
    read_detector,
    read_record,
    write_detector,
)
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.events import Listener
from uad_bench.runner.settings import (
    DataSettings,
    StoreSettings,
    TrainingSettings,
    TuningSettings,
)
from uad_bench.sharing.detector import unpacked_detector
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.store.atlas import refuse_existing

_OF_TRAINING = frozenset(
    {
        *DataSettings.model_fields,
        *TrainingSettings.model_fields,
        *TuningSettings.model_fields,
        *StoreSettings.model_fields,
        "device",
        "postprocessing",
    }
) - {"param", "seeds"}
"""Settings of a run that say what is trained. ``fit`` has words of its own for two of them."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Detector:
    """A fitted method. ``fit`` and ``load_detector`` return one.

    Attributes:
        method: the method, fitted.
        record: what it is and what it came from.
        validation: scores of healthy validation scans, which thresholds come from.
        registry: the post-processings that are known.
        template: the folder of SRI24, where its recipe registers to that.

    Examples:
        >>> import uad_bench as ub
        >>> detector = ub.fit("thresholding", data_root="data", progress=False)
        >>> detector
        Thresh. (thresholding, seed 0), learned from hi, simulated
        >>> detector.save("my-detector")
        >>> found = ub.load_detector("my-detector").predict("data/MSLUB/patient11/FLAIR.nii.gz")
        >>> found.map.shape == found.mask.shape
        True
        >>> [file.name for file in found.save("map.nii.gz")]
        ['map.nii.gz', 'map_mask.nii.gz', 'map_prediction.json']
    """

    method: Method
    record: DetectorRecord
    validation: Mapping[str, ScoreHistogram]
    registry: Registry
    template: Path | None = None

    def __repr__(self) -> str:
        learned = self.record.training.title or self.record.training.dataset
        mark = ", simulated" if self.simulated else ""
        name = f"{self.title} ({self.record.method}, seed {self.record.seed})"
        return f"{name}, learned from {learned}{mark}"

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.record.title

    @property
    def recipe(self) -> Recipe:
        """How scans are prepared for it."""
        return self.record.recipe

    @property
    def simulated(self) -> bool:
        """Whether it learned from phantoms."""
        return self.record.simulated

    def threshold(self, postprocessing: str = "none") -> float | None:
        """Return the score that 1 % of the voxels of healthy validation scans reach.

        Args:
            postprocessing: that made the maps.

        Returns:
            A score in [0, 1], above 1 where no score would do; ``None`` for a detector whose
            validation scans were never scored.
        """
        level = self._level(postprocessing)
        return None if level is None else level / 65535

    def predict(
        self,
        scan: str | Path | nib.spatialimages.SpatialImage | ArrayLike,
        *,
        affine: ArrayLike | None = None,
        brain: Any = None,
        postprocessing: str = "none",
        cache: str | Path | None = None,
    ) -> Prediction:
        """Score one scan. It is prepared on the way, as a run prepares it.

        Args:
            scan: path of a FLAIR as NIfTI, with its skull or without, in any space; a nibabel
                image of one; an array ``[X, Y, Z]`` with ``affine``; or an array ``[Z, H, W]`` on
                the prepared grid, normalised to [0, 1] and 0 outside the brain.
            affine: voxel to world in mm, RAS+, of an array.
            brain: a brain mask of the same kind as the scan. Found where it is not given.
            postprocessing: how a residual becomes the map: ``none``, ``star`` for what is brighter
                than expected only, or any other that ``run`` takes. There is a mask where the
                detector was given a threshold for it.
            cache: folder that keeps costly steps; the user's cache by default.

        Returns:
            Map, mask and reconstruction on the scan's own voxels.

        Raises:
            UadBenchError: in one line, what is wrong with the scan, or which tool is missing.
        """
        variant = self.registry.postprocessing(postprocessing)
        where = None if cache is None else Path(cache)
        return predict(
            self.method,
            self._prepared(scan, affine, brain, where),
            variant,
            self._level(postprocessing),
            title=f"{self.title}{variant.mark}",
            simulated=self.simulated,
        )

    def save(self, folder: str | Path) -> None:
        """Write the detector to a folder of its own, for ``load_detector`` and ``predict -d``.

        Raises:
            UadBenchError: the folder is there already, or cannot be written.
        """
        folder = Path(folder)
        refuse_existing(folder)
        write_detector(folder, self.method, self.record)
        save_histograms(folder / VALIDATION, self.validation)

    def share(self, out: str | Path, *, licence: str) -> Path:
        """Write the detector to give away, as ``uad-bench share`` does: with card and licence.

        Args:
            out: a new folder, or a file that ends in ``.zip``; ``load_detector`` takes both.
            licence: under which it is given, by its name on spdx.org, such as ``CC-BY-4.0``.

        Returns:
            The folder or file.

        Raises:
            UadBenchError: an unknown licence, a detector that reads files of this machine when it
                scores, or a place that is taken or cannot be written.
        """
        from uad_bench.sharing.detector import share_detector

        out = Path(out).expanduser()
        with tempfile.TemporaryDirectory(prefix="uad-bench-") as folder:
            self.save(Path(folder) / "detector")
            share_detector(Path(folder) / "detector", out, licence, self.registry)
        return out

    def _level(self, postprocessing: str) -> int | None:
        variant = self.registry.postprocessing(postprocessing)
        histogram = self.validation.get(histogram_key(variant))
        return None if histogram is None else threshold_at_fpr(histogram, FPR)

    def _prepared(
        self, scan: Any, affine: ArrayLike | None, brain: Any, cache: Path | None
    ) -> OneScan:
        recipe, template = self.recipe, self.template
        if isinstance(scan, str | Path):
            if not isinstance(brain, str | Path | None):
                raise UadBenchError("brain: give the path of a mask for the path of a scan")
            mask = None if brain is None else Path(brain)
            return prepare_file(Path(scan), recipe, template, mask, cache)
        if isinstance(scan, nib.spatialimages.SpatialImage):
            return prepare_image(scan, recipe, template, brain, cache)
        values = np.asarray(scan)
        if affine is None:
            return prepared_array(values, recipe, brain)
        place = np.asarray(affine, dtype=np.float64)
        if place.shape != (4, 4):
            raise UadBenchError(f"affine: an array of {place.shape}; give 4 x 4, voxel to world")
        mask = None if brain is None else nib.Nifti1Image(np.asarray(brain, np.uint8), place)
        image = nib.Nifti1Image(values.astype(np.float32), place)
        return prepare_image(image, recipe, template, mask, cache)


def load_detector(
    folder: str | Path,
    *,
    device: str = "auto",
    plugin: str | Path | Sequence[str | Path] = (),
    template: str | Path | None = None,
) -> Detector:
    """Read a detector: a folder in ``detectors`` of a results folder, or one saved or shared.

    Its folder holds all that scoring needs. An atlas or a data set that it learned from may be
    gone.

    Args:
        folder: the detector's, or the zip of a shared one.
        device: torch device, or ``auto``.
        plugin: files or folders with the method, where it is not built in.
        template: the folder of SRI24, where the recipe registers to it and it has moved.

    Raises:
        UadBenchError: in one line: no detector, a damaged one, one of another version or of a
            method whose code changed, or a file that it needs is gone.

    Examples:
        >>> import uad_bench as ub
        >>> ub.fit("thresholding", data_root="data", progress=False).save("kept")
        >>> ub.load_detector("kept").record.recipe.name
        'median'
    """
    folder = Path(folder)
    if folder.is_file():
        with unpacked_detector(folder) as unpacked:
            return load_detector(unpacked, device=device, plugin=plugin, template=template)
    if folder.suffix == ".zip" and not folder.exists():
        raise UadBenchError(f"{folder}: no such file; name the zip that `uad-bench share` wrote")
    record = read_record(folder)
    paths = (plugin,) if isinstance(plugin, str | Path) else plugin
    registry = open_registry(tuple(Path(path) for path in paths))
    method = find_method(folder, record, registry)
    sri24 = record.template if template is None else Path(template)
    if sri24 is not None and not sri24.is_dir():
        raise UadBenchError(
            f"{folder}: its recipe registers to SRI24, which is not in {sri24}; say where it is "
            "with --template, or template= in Python"
        )
    fitted = read_detector(folder, method, record, resolve_device(device))
    file = folder / VALIDATION
    known = load_histograms(file) if file.is_file() else {}
    return Detector(fitted, record, known, registry, sri24)


def fit(
    method: str,
    *,
    seed: int = 0,
    results: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Detector:
    """Train one detector, as ``uad-bench run`` would, and evaluate it nowhere.

    Args:
        method: name of the method.
        seed: of the training.
        results: a results folder. A detector that a run trained there with the same settings is
            taken, and a new one is kept there; without it nothing is kept.
        progress: whether to tell on stderr what is going on.
        settings: flags of ``uad-bench run`` about data and training, in snake_case, such as
            ``data_root``, ``train``, ``preset``, ``phantoms``, ``recipe``, ``atlas``, ``tune``,
            ``device`` or ``cache``, and ``postprocessing``: those that the detector gets a
            threshold for. Every other word is a parameter of the method, such as ``steps=200``.

    Raises:
        UadBenchError: in one line, what cannot be.

    Examples:
        >>> import uad_bench as ub
        >>> ub.fit("thresholding", data_root="data", progress=False)
        Thresh. (thresholding, seed 0), learned from hi, simulated
    """
    if unfit := sorted((RunConfig.model_fields.keys() - _OF_TRAINING) & settings.keys()):
        raise UadBenchError(f"fit: {', '.join(unfit)} is for run; fit trains one detector")
    said = {name: value for name, value in settings.items() if name in _OF_TRAINING}
    params = {f"{method}.{name}": v for name, v in settings.items() if name not in _OF_TRAINING}
    with ExitStack() as stack:
        if results is None:
            results = stack.enter_context(tempfile.TemporaryDirectory(prefix="uad-bench-"))
        given = {"methods": method, "seeds": seed, "param": params, "results": results, **said}
        config = load_config(None, given, in_python=True)
        shown = LiveProgress(Console(stderr=True, force_jupyter=False))
        tell = stack.enter_context(shown) if progress else lambda _: None
        return train_detector(config, tell)


def train_detector(config: RunConfig, tell: Listener) -> Detector:
    """Train the first method of a run, or find it trained.

    Args:
        config: the run.
        tell: told about every step.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    from uad_bench.runner.training import train

    folder = train(config, open_registry(config.plugin), tell)
    return load_detector(folder, device=config.device, plugin=config.plugin)
