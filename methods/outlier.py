"""Tissue outliers: what is brighter than any healthy tissue that the atlas expects there.

A Gaussian per tissue, fitted to each scan under the atlas and deaf to lesions, as Van Leemput et
al. 2001 find lesions of multiple sclerosis; at two scales of smoothing, for lesions of a few voxels
and for masses; and silent wherever nothing is bright enough. No network.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from uad_bench import method
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, FloatArray, Need, Slices
from uad_bench.models.bright_regions import bright_regions, smoothed
from uad_bench.models.tissue_mixture import TissueIntensities, expectation, fit_tissues, surprise

# CSF, GM and WM in slices whose in-brain median is 0.55. Training scans are drawn to it weakly, so
# that a recipe of other intensities is learnt all the same.
_START = TissueIntensities(np.array([0.25, 0.6, 0.53]), np.array([0.15, 0.06, 0.04]))
_START_SHRINKAGE = 0.01
_TRAINING_SCANS = 20
# A mass displaces what the atlas knows, hence the larger tolerance and doubt at the coarse scale.
_FINE_MM, _COARSE_MM = 2.0, 4.0
_FINE_DOUBT, _COARSE_DOUBT = 0.1, 0.3
_MOST = 20.0  # the surprise of a score of 1


class Outlier(method.Method):
    """The score is ``-log10 P / 20``, P the share of healthy tissue at that place that is brighter.

    It is 0 outside of the regions that :meth:`score` keeps, so that the threshold at a
    false-positive rate does not lie far below what the method would call a lesion.
    """

    class Params(method.Params):
        """Hyper-parameters.

        Attributes:
            prior: whether tissue is expected where the atlas says, or everywhere alike.
            shrinkage: scans that the training subjects' intensities are worth in the fit to one.
            fine: weight of the total-variation smoothing that lesions are looked for in.
            coarse: the same for large lesions; 0 leaves them to ``fine``.
            fine_level: surprise (``-log10 P``) that every voxel of a lesion has, where ``fine``.
            coarse_level: the same, where ``coarse``.
            seed_level: surprise that at least one voxel of a lesion has.
        """

        prior: bool = True
        shrinkage: float = Field(default=2.0, ge=0.0)
        fine: float = Field(default=0.02, ge=0.0)
        coarse: float = Field(default=0.2, ge=0.0)
        fine_level: float = Field(default=1.5, ge=0.0)
        coarse_level: float = Field(default=1.25, ge=0.0)
        seed_level: float = Field(default=3.0, ge=0.0)

    name: ClassVar[str] = "outlier"
    title: ClassVar[str] = "Outlier"
    citation: ClassVar[str] = "after Van Leemput et al. 2001"
    needs: ClassVar[frozenset[Need]] = frozenset({"tissue_prior"})
    params: Params
    prior_: NDArray[np.uint8]
    healthy_: TissueIntensities

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Keep the atlas, and how bright each tissue is: the median of the first 20 scans.

        Raises:
            UadBenchError: if there is no tissue prior.
        """
        if context.tissue_prior is None:
            raise UadBenchError("outlier: no tissue prior; train on a cohort with tissue maps")
        self.prior_ = np.rint(255 * context.tissue_prior.mean[:3]).astype(np.uint8)
        scans = list(islice(train.scans(), _TRAINING_SCANS))
        fitted = [self._fitted(scan, 0.0, _START, _START_SHRINKAGE) for scan in scans]
        self.healthy_ = TissueIntensities.median(fitted)
        notes = (f"intensities of {len(scans)} scans",)
        return FitReport(slices_seen=sum(map(len, scans)), notes=notes)

    def score(self, slices: Slices) -> FloatArray:
        """Return the score ``[N, 1, H, W]`` of one scan.

        At each scale the image is smoothed (Chambolle 2004), and a voxel is kept if its surprise
        exceeds the scale's level and it is connected, face to face through such voxels, to one
        that exceeds ``seed_level``. The score is the larger of the two scales'.
        """
        params, brain = self.params, np.asarray(slices.brain[:, 0])
        tissues = self._fitted(slices, _FINE_DOUBT, self.healthy_, params.shrinkage)
        image = np.asarray(slices.image[:, 0], np.float64)
        score = np.zeros(brain.shape)
        scales = [(params.fine, params.fine_level, _FINE_MM, _FINE_DOUBT)]
        if params.coarse:
            scales.append((params.coarse, params.coarse_level, _COARSE_MM, _COARSE_DOUBT))
        for weight, level, tolerance, doubt in scales:
            smooth = smoothed(image, brain, weight, outside=float(tissues.mean[1]))
            found = np.zeros(brain.shape)
            found[brain] = surprise(smooth, self._expected(slices, tolerance, doubt), tissues)
            kept = bright_regions(found, level, max(level, params.seed_level))
            score = np.maximum(score, kept * found)
        return (score / _MOST).clip(0.0, 1.0).astype(np.float32)[:, None]

    def _fitted(
        self, slices: Slices, doubt: float, start: TissueIntensities, shrinkage: float
    ) -> TissueIntensities:
        """How bright the tissues of one scan are."""
        intensity = np.asarray(slices.image[slices.brain], np.float64)
        return fit_tissues(intensity, self._expected(slices, _FINE_MM, doubt), start, shrinkage)

    def _expected(self, slices: Slices, tolerance: float, doubt: float) -> NDArray[np.float64]:
        """What tissue is expected in the brain of one scan, ``[n, 3]``."""
        brain, maps = np.asarray(slices.brain[:, 0]), self.prior_[:, slices.z] / 255.0
        if not self.params.prior:
            everywhere = self.prior_.mean(axis=(1, 2, 3), keepdims=True)
            maps, tolerance = np.broadcast_to(everywhere / everywhere.sum(), maps.shape), 0.0
        return expectation(maps, brain, slices.spacing, tolerance=tolerance, doubt=doubt)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the atlas and the tissues' intensities."""
        return {"prior": self.prior_, "mean": self.healthy_.mean, "sd": self.healthy_.sd}

    def load(self, state: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        """Restore what :meth:`state` returned."""
        self.prior_ = state["prior"]
        self.healthy_ = TissueIntensities(state["mean"], state["sd"])
