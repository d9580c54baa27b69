"""Tissue outliers: what is brighter than any healthy tissue that the atlas expects there.

A Gaussian per tissue, fitted to each scan under the atlas and deaf to lesions, as Van Leemput et
al. 2001 find lesions of multiple sclerosis; at two scales of smoothing, for lesions of a few voxels
and for masses; and silent wherever nothing is bright enough. No network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter

from uad_bench import method
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, FloatArray, Need, Slices
from uad_bench.models.tissue_mixture import TissueIntensities, fit_tissues, surprise

# CSF, GM and WM in slices whose in-brain median is 0.55. Training scans are drawn to it weakly, so
# that a recipe of other intensities is learnt all the same.
_START = TissueIntensities(np.array([0.25, 0.6, 0.53]), np.array([0.15, 0.06, 0.04]))
_START_SHRINKAGE = 0.01
_TRAINING_SCANS = 20

# A mass displaces what the atlas knows, hence the larger tolerance and doubt at the coarse scale.
_FINE_MM, _COARSE_MM = 2.0, 4.0
_FINE_DOUBT, _COARSE_DOUBT = 0.1, 0.3
_LEAST_EXPECTED = 0.02

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
            shrinkage: how many scans the training subjects' intensities are worth when one scan's
                are fitted.
            fine: weight of the total-variation smoothing that lesions are looked for in.
            coarse: the same for large lesions; 0 leaves them to ``fine``.
            fine_level: surprise (``-log10 P``) that every voxel of a lesion has, where ``fine``.
            coarse_level: the same, where ``coarse``.
            seed_level: surprise that at least one voxel of a lesion has.
        """

        prior: bool = True
        shrinkage: float = Field(default=1.0, ge=0.0)
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
        """Keep the atlas, and learn how bright each tissue is.

        That is the median over the first 20 training scans, in the order of the slices.

        Raises:
            UadBenchError: if there is no tissue prior.
        """
        if context.tissue_prior is None:
            raise UadBenchError("outlier: no tissue prior; train on a cohort with tissue maps")
        self.prior_ = np.rint(255 * context.tissue_prior.mean[:3]).astype(np.uint8)
        fitted, seen = [], 0
        for scan in islice(_scans(train), _TRAINING_SCANS):
            brain = np.asarray(scan.brain[:, 0])
            intensity = np.asarray(scan.image[:, 0], np.float64)[brain]
            expected = self._expected(scan, _FINE_MM, doubt=0.0)
            fitted.append(fit_tissues(intensity, expected, _START, _START_SHRINKAGE))
            seen += len(scan)
        self.healthy_ = TissueIntensities(
            np.median([tissues.mean for tissues in fitted], axis=0),
            np.median([tissues.sd for tissues in fitted], axis=0),
        )
        return FitReport(slices_seen=seen, notes=(f"intensities of {len(fitted)} scans",))

    def score(self, slices: Slices) -> FloatArray:
        """Return the score ``[N, 1, H, W]`` of one scan.

        At each scale the image is smoothed (Chambolle 2004), and a voxel is kept if its surprise
        exceeds the scale's level and it is connected, face to face through such voxels, to one
        that exceeds ``seed_level``. The score is the larger of the two scales'.
        """
        params, brain = self.params, np.asarray(slices.brain[:, 0])
        image = np.asarray(slices.image[:, 0], np.float64)
        score = np.zeros(image.shape)
        if not brain.any():
            return score.astype(np.float32)[:, None]
        expected = self._expected(slices, _FINE_MM, _FINE_DOUBT)
        tissues = fit_tissues(image[brain], expected, self.healthy_, params.shrinkage)
        filled = np.where(brain, image, tissues.mean[1])  # no edge at the brain's rim
        scales = [(params.fine, params.fine_level, _FINE_MM, _FINE_DOUBT)]
        if params.coarse:
            scales.append((params.coarse, params.coarse_level, _COARSE_MM, _COARSE_DOUBT))
        for weight, level, tolerance, doubt in scales:
            smooth = _smoothed(filled, brain, weight)[brain]
            found = np.zeros(image.shape)
            found[brain] = surprise(smooth, self._expected(slices, tolerance, doubt), tissues)
            score = np.maximum(score, _kept(found, level, max(level, params.seed_level)))
        return (score / _MOST).clip(0.0, 1.0).astype(np.float32)[:, None]

    def _expected(self, slices: Slices, tolerance: float, doubt: float) -> NDArray[np.float64]:
        """The probability of CSF, GM and WM at every voxel of the brain, ``[n, 3]``.

        Args:
            slices: slices of one scan.
            tolerance: standard deviation in mm by which the atlas is blurred within slices, for
                what registration leaves.
            doubt: probability added to GM and WM everywhere.
        """
        brain = np.asarray(slices.brain[:, 0])
        if self.params.prior:
            _, rows, columns = slices.spacing
            sigma = (0.0, 0.0, tolerance / rows, tolerance / columns)
            maps = gaussian_filter(self.prior_[:, slices.z] / 255.0, sigma)[:, brain].T
        else:
            share = self.prior_.mean(axis=(1, 2, 3))
            maps = np.broadcast_to(share / share.sum(), (int(brain.sum()), 3))
        expected = maps + _LEAST_EXPECTED + np.array([0.0, doubt, doubt])
        normalised: NDArray[np.float64] = expected / expected.sum(axis=1, keepdims=True)
        return normalised

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the atlas and the tissues' intensities."""
        return {"prior": self.prior_, "mean": self.healthy_.mean, "sd": self.healthy_.sd}

    def load(self, state: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        """Restore what :meth:`state` returned."""
        self.prior_ = state["prior"]
        self.healthy_ = TissueIntensities(state["mean"], state["sd"])


def _scans(slices: Slices) -> Iterator[Slices]:
    """The scans that slices are of; the atlas index rises within each, and nowhere else."""
    starts = np.flatnonzero(np.diff(slices.z) <= 0) + 1
    for rows in np.split(np.arange(len(slices)), starts):
        yield Slices(slices.image[rows], slices.brain[rows], slices.z[rows], slices.spacing)


def _smoothed(
    image: NDArray[np.float64], brain: NDArray[np.bool_], weight: float
) -> NDArray[np.float64]:
    """Total-variation smoothing of the brain's bounding box, in voxels of any shape."""
    if not weight:
        return image
    from skimage.restoration import denoise_tv_chambolle

    box = tuple(
        slice(int(used[0]), int(used[-1]) + 1)
        for used in (np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    )
    smooth = image.copy()
    smooth[box] = denoise_tv_chambolle(image[box], weight=weight)
    return smooth


def _kept(found: NDArray[np.float64], level: float, seed: float) -> NDArray[np.float64]:
    """Hysteresis (Canny 1986): regions above ``level`` that hold a voxel above ``seed``."""
    from skimage.filters import apply_hysteresis_threshold

    kept: NDArray[np.float64] = np.where(apply_hysteresis_threshold(found, level, seed), found, 0.0)
    return kept
