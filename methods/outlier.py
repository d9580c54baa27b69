"""Tissue outliers: what is brighter than any healthy tissue that the atlas expects there.

A Gaussian per tissue, fitted to each scan under the atlas and deaf to lesions, as Van Leemput et
al. 2001 find lesions of multiple sclerosis; at two scales of smoothing, for lesions of a few voxels
and for masses; and silent wherever nothing is bright enough. No network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter

from uad_bench import method
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, FloatArray, Need, Slices
from uad_bench.models.tissue_mixture import TissueIntensities, fit_tissues, surprise

_START = TissueIntensities(np.array([0.25, 0.6, 0.53]), np.array([0.15, 0.06, 0.04]))
_TRAINING_SCANS = 20
_FINE_MM, _COARSE_MM = 2.0, 4.0
_FINE_DOUBT, _COARSE_DOUBT = 0.1, 0.3
_LEAST_EXPECTED = 0.02
_MOST = 20.0


class Outlier(method.Method):
    """The score is ``-log10 P / 20``, P the share of healthy tissue at that place that is brighter.

    It is 0 outside of the regions that :meth:`score` keeps, so that the threshold at a
    false-positive rate does not lie far below what the method would call a lesion.
    """

    class Params(method.Params):
        """Hyper-parameters.

        Attributes:
            prior: whether tissue is expected where the atlas says, or everywhere alike.
            shrinkage: how many scans the training subjects' intensities are worth when one scan's
                are fitted.
            fine: weight of the total-variation smoothing that lesions are looked for in.
            coarse: the same for large lesions; 0 leaves them to ``fine``.
            fine_level: surprise (``-log10 P``) that every voxel of a lesion has, where ``fine``.
            coarse_level: the same, where ``coarse``.
            seed_level: surprise that at least one voxel of a lesion has.
        """

        prior: bool = True
        shrinkage: float = Field(default=5.0, ge=0.0)
        fine: float = Field(default=0.02, ge=0.0)
        coarse: float = Field(default=0.2, ge=0.0)
        fine_level: float = Field(default=1.75, ge=0.0)
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
        """Keep the atlas, and learn how bright each tissue is: the median over training scans.

        A scan ends where the slices' atlas index falls.

        Raises:
            UadBenchError: if there is no tissue prior.
        """
        if context.tissue_prior is None:
            raise UadBenchError("outlier: no tissue prior; train on a cohort with tissue maps")
        self.prior_ = np.rint(255 * context.tissue_prior.mean[:3]).astype(np.uint8)
        starts = np.flatnonzero(np.diff(train.z, prepend=train.z[:1]) < 0)
        fitted = []
        for rows in np.split(np.arange(len(train)), starts)[:_TRAINING_SCANS]:
            brain = np.asarray(train.brain[rows, 0])
            intensity = np.asarray(train.image[rows, 0], np.float64)[brain]
            expected = self._expected(train.z[rows], brain, _FINE_MM, 0.0, train.spacing)
            fitted.append(fit_tissues(intensity, expected, _START, shrinkage=0.01))
        self.healthy_ = TissueIntensities(
            np.median([tissues.mean for tissues in fitted], axis=0),
            np.median([tissues.sd for tissues in fitted], axis=0),
        )
        return FitReport(slices_seen=len(train), notes=(f"intensities of {len(fitted)} scans",))

    def score(self, slices: Slices) -> FloatArray:
        """Return the score ``[N, 1, H, W]`` of one scan.

        At each scale the image is smoothed (Chambolle 2004), and a voxel is kept if its surprise
        reaches the scale's level and it is connected, through such voxels, to one that reaches
        ``seed_level``. The score is the larger of the two scales'.
        """
        params, brain = self.params, np.asarray(slices.brain[:, 0])
        image = np.asarray(slices.image[:, 0], np.float64)
        score = np.zeros(image.shape)
        if not brain.any():
            return score.astype(np.float32)[:, None]
        expected = self._expected(slices.z, brain, _FINE_MM, _FINE_DOUBT, slices.spacing)
        tissues = fit_tissues(image[brain], expected, self.healthy_, params.shrinkage)
        scales = [(params.fine, params.fine_level, _FINE_MM, _FINE_DOUBT)]
        if params.coarse:
            scales.append((params.coarse, params.coarse_level, _COARSE_MM, _COARSE_DOUBT))
        for weight, level, tolerance, doubt in scales:
            smooth = _smoothed(np.where(brain, image, tissues.mean[1]), brain, weight)
            expected = self._expected(slices.z, brain, tolerance, doubt, slices.spacing)
            found = np.zeros(image.shape)
            found[brain] = surprise(smooth[brain], expected, tissues)
            score = np.maximum(score, _kept(found, level, max(level, params.seed_level)))
        return (score / _MOST).clip(0.0, 1.0).astype(np.float32)[:, None]

    def _expected(
        self,
        z: NDArray[np.int64],
        brain: NDArray[np.bool_],
        tolerance: float,
        doubt: float,
        spacing: tuple[float, float, float],
    ) -> NDArray[np.float64]:
        """The probability of CSF, GM and WM at every voxel of the brain, ``[n, 3]``.

        Args:
            z: atlas indices of the slices.
            brain: bool ``[N, H, W]``.
            tolerance: standard deviation in mm by which the atlas is blurred, for what registration
                leaves.
            doubt: probability added to GM and WM everywhere.
            spacing: voxel size in mm.
        """
        if self.params.prior:
            maps = self.prior_[:, z] / 255.0
        else:
            everywhere = self.prior_.mean(axis=(1, 2, 3)) / self.prior_.mean(axis=(1, 2, 3)).sum()
            maps = np.broadcast_to(everywhere[:, None, None, None], (3, *brain.shape))
        if tolerance and self.params.prior:
            sigma = (0.0, 0.0, tolerance / spacing[1], tolerance / spacing[2])
            maps = gaussian_filter(maps, sigma)
        expected = maps[:, brain].T + _LEAST_EXPECTED + np.array([0.0, doubt, doubt])
        share: NDArray[np.float64] = expected / expected.sum(axis=1, keepdims=True)
        return share

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the atlas and the tissues' intensities."""
        return {"prior": self.prior_, "mean": self.healthy_.mean, "sd": self.healthy_.sd}

    def load(self, state: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        """Restore what :meth:`state` returned."""
        self.prior_ = state["prior"]
        self.healthy_ = TissueIntensities(state["mean"], state["sd"])


def _smoothed(
    image: NDArray[np.float64], brain: NDArray[np.bool_], weight: float
) -> NDArray[np.float64]:
    """Total-variation smoothing of the brain's bounding box."""
    if not weight:
        return image
    from skimage.restoration import denoise_tv_chambolle

    box = tuple(
        slice(int(used[0]), int(used[-1]) + 1)
        for used in (
            np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))
        )
    )
    smooth = image.copy()
    smooth[box] = denoise_tv_chambolle(image[box], weight=weight)
    return smooth


def _kept(found: NDArray[np.float64], level: float, seed: float) -> NDArray[np.float64]:
    """Hysteresis (Canny 1986): regions of at least ``level`` that hold a voxel of at least ``seed``."""
    from skimage.filters import apply_hysteresis_threshold

    kept: NDArray[np.float64] = np.where(apply_hysteresis_threshold(found, level, seed), found, 0.0)
    return kept
