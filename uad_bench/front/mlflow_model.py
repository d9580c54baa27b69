"""A detector as MLflow loads it, by ``mlflow.pyfunc.load_model``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uad_bench.front.detector import Detector, load_detector
from uad_bench.method import FloatArray

if TYPE_CHECKING:
    import pandas as pd


class DetectorModel:
    """Scores scans; the counterpart of ``uad_bench.tracking.model``."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def predict(self, model_input: pd.DataFrame, params: Any = None) -> list[FloatArray]:  # noqa: ARG002
        """Score scans.

        Args:
            model_input: the column ``scan``, each the path of a FLAIR as NIfTI, or an array
                ``[Z, H, W]`` on the prepared grid, in [0, 1] and 0 outside the brain.
            params: none.

        Returns:
            Per scan its anomaly map, float32 in [0, 1], on the scan's own voxels.

        Raises:
            UadBenchError: in one line, what is wrong with a scan.
        """
        return [self._detector.predict(scan).map for scan in _scans(model_input)]


def _load_pyfunc(folder: str) -> DetectorModel:
    """Load the detector's folder that is inside an MLflow model; MLflow calls this by its name."""
    return DetectorModel(load_detector(Path(folder)))


def _scans(model_input: pd.DataFrame) -> list[Any]:
    """The scans, one by one: MLflow puts a list of paths into one row."""
    scans: list[Any] = []
    for value in model_input["scan"]:
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        scans += value if is_list else [value if isinstance(value, str) else np.asarray(value)]
    return scans
