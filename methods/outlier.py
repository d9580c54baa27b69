"""Tissue outliers: what is brighter than any healthy tissue that the atlas expects there.

A Gaussian per tissue, fitted to each scan under the atlas and deaf to lesions, as Van Leemput et
al. 2001 find lesions of multiple sclerosis, and what makes bright voxels a lesion. No network.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from uad_bench import method
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, FloatArray, MethodInfo, Slices
from uad_bench.models.intensity.bright_regions import bright_regions, filled, smoothed
from uad_bench.models.intensity.tissue_mixture import (
    TissueIntensities,
    blurred,
    expectation,
    fit_tissues,
    surprise,
)

# CSF, GM and WM of scans with a median of 0.55; training scans are drawn to it, but weakly.
_START = TissueIntensities(np.array([0.25, 0.6, 0.53]), np.array([0.15, 0.06, 0.04]))
_SCANS = 20  # of the training and of the validation subjects, that are looked at
_TOLERANCE_MM, _DOUBT = 2.0, 0.1
_MOST = 20.0  # the surprise of a score of 1


class Outlier(method.Method):
    """The score is ``-log10 P / 20``, P the share of healthy tissue at that place that is brighter.

    Outside of lesions it is at most :attr:`faint_`, below the threshold at a false-positive rate.
    """

    class Params(method.Params):
        """What a lesion is, and how healthy tissue is fitted."""

        prior: bool = True
        """Whether tissue is expected where the atlas says, or everywhere alike."""
        shrinkage: float = Field(default=2.0, ge=0.0)
        """Scans that the training subjects' intensities are worth in the fit to one scan."""
        smoothing: float = Field(default=0.02, ge=0.0)
        """Weight of the total-variation smoothing of the scan in which lesions are looked for."""
        level: float = Field(default=1.5, ge=0.0)
        """Surprise (-log10 P) that every voxel of a lesion exceeds."""
        seed_level: float = Field(default=3.0, ge=0.0)
        """Surprise (-log10 P) that at least one voxel of a lesion exceeds."""
        edge: float = Field(default=0.25, ge=0.0, lt=1.0)
        """Least share of the largest surprise around a voxel; 0.25 is half as bright."""
        rim: float = Field(default=4.0, ge=0.0)
        """Depth below the brain's surface in mm that more than half of a lesion exceeds."""
        faint: float = Field(default=0.06, gt=0.0, le=1.0)
        """Share of healthy validation voxels that reach the highest score outside of lesions; 1:
        everything outside of lesions scores 0."""

    info = MethodInfo(
        name="outlier",
        title="Outlier",
        citation="after Van Leemput et al. 2001",
        needs=frozenset({"tissue_prior"}),
    )
    params: Params
    prior_: NDArray[np.uint8]
    healthy_: TissueIntensities
    faint_: float

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Keep the atlas, and how bright and how surprising healthy tissue is, in 20 scans each.

        Raises:
            UadBenchError: if there is no tissue prior.
        """
        if context.tissue_prior is None:
            raise UadBenchError("outlier: no tissue prior; train on a dataset with tissue maps")
        self.prior_ = np.rint(255 * context.tissue_prior.mean[:3]).astype(np.uint8)
        scans = list(islice(train.scans(), _SCANS))
        fitted = [
            fit_tissues(one.image[one.brain].astype(float), self._expected(one, 0.0), _START, 0.01)
            for one in scans
        ]
        self.healthy_ = TissueIntensities.median(fitted)
        others = islice(validation.scans(), _SCANS)
        healthy = [self._surprise(scan)[scan.brain[:, 0]] for scan in others]
        found = np.concatenate([*healthy, np.zeros(1)])  # 0 where nobody validates
        self.faint_ = min(float(np.quantile(found, 1 - self.params.faint)), self.params.level)
        notes = (f"intensities of {len(scans)} scans",)
        return FitReport(slices_seen=sum(map(len, scans)), notes=notes)

    def score(self, slices: Slices) -> FloatArray:
        """Return the score ``[N, 1, H, W]`` of one scan."""
        p, brain, found = self.params, slices.brain[:, 0], self._surprise(slices)
        kept = bright_regions(
            found, brain, slices.spacing, level=p.level, seed=p.seed_level, edge=p.edge, rim=p.rim
        )
        score = np.where(kept, found, np.minimum(found, self.faint_))
        return (score / _MOST).clip(0.0, 1.0).astype(np.float32)[:, None]

    def _surprise(self, slices: Slices) -> NDArray[np.float64]:
        """How surprising one scan is, ``[N, H, W]``, 0 outside the brain.

        What is enclosed is as surprising as what encloses it, unless CSF is expected there.
        """
        brain, image = np.asarray(slices.brain[:, 0]), np.asarray(slices.image[:, 0], np.float64)
        expected = self._expected(slices, _DOUBT)
        tissues = fit_tissues(image[brain], expected, self.healthy_, self.params.shrinkage)
        smooth = smoothed(image, brain, self.params.smoothing, outside=float(tissues.mean[1]))
        found, solid = np.zeros(brain.shape), brain.copy()
        found[brain] = surprise(smooth, expected, tissues)
        solid[brain] = expected[:, 0] < 0.5
        return np.where(solid, filled(found), found)

    def _expected(self, slices: Slices, doubt: float) -> NDArray[np.float64]:
        """What tissue is expected in the brain of one scan, ``[n, 3]``."""
        brain, prior = np.asarray(slices.brain[:, 0]), self.prior_
        maps = blurred(prior, slices.spacing, _TOLERANCE_MM)
        if not self.params.prior:
            everywhere = prior.mean(axis=(1, 2, 3), keepdims=True)
            maps = np.broadcast_to(everywhere / everywhere.sum(), maps.shape)
        return expectation([part[slices.z] for part in maps], brain, doubt=doubt)
