"""How bright healthy tissue is in one scan: a mixture that bright lesions do not bend.

After Van Leemput et al. 2001 (IEEE Trans Med Imaging 20): a Gaussian per tissue, expected where an
atlas says, fitted by expectation-maximisation in which a voxel that no tissue explains counts less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import log_ndtr

FloatArray = NDArray[np.float64]

ITERATIONS = 40
"""Steps of expectation-maximisation; the means move by less than 1e-3 after about 20."""

UNLIKELY_SD = 3.0
"""Standard deviations from a tissue's mean at which a voxel counts half."""

SMALLEST_SD = 0.015
"""No tissue is taken to be more even than this."""

WEIGHTED_VARIANCE = 0.93947
"""E[w d^2] / E[w] of a standard normal d: the weights take that much off a variance of 1."""

LEAST_EXPECTED = 0.02
"""Added to what the atlas expects of every tissue, since no atlas is exact."""

_A_VOXEL = 1e-6


@dataclass(frozen=True, slots=True)
class TissueIntensities:
    """Mean and standard deviation of the intensity of each tissue, float64 ``[K]``."""

    mean: FloatArray
    sd: FloatArray

    @classmethod
    def median(cls, several: Sequence[TissueIntensities]) -> TissueIntensities:
        """Return those of the typical scan: tissue by tissue, the medians of both."""
        mean = np.median([one.mean for one in several], axis=0)
        return cls(mean, np.median([one.sd for one in several], axis=0))


def expectation(
    maps: FloatArray,
    brain: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    *,
    tolerance: float,
    doubt: float,
) -> FloatArray:
    """How probable each tissue is at every voxel of the brain, before its intensity is seen.

    Args:
        maps: probability of CSF, GM and WM, ``[3, N, H, W]``.
        brain: ``[N, H, W]``.
        spacing: voxel size ``(z, y, x)`` in mm.
        tolerance: standard deviation in mm by which the maps are blurred within slices, for what
            registration leaves.
        doubt: probability added to GM and WM everywhere, before all are made to sum to 1.

    Returns:
        ``[n, 3]``, positive, of sum 1.
    """
    if tolerance:
        maps = gaussian_filter(maps, (0.0, 0.0, tolerance / spacing[1], tolerance / spacing[2]))
    expected = maps[:, brain].T + LEAST_EXPECTED + np.array([0.0, doubt, doubt])
    share: FloatArray = expected / expected.sum(axis=1, keepdims=True)
    return share


def fit_tissues(
    intensity: FloatArray,
    expected: FloatArray,
    start: TissueIntensities,
    shrinkage: float,
) -> TissueIntensities:
    """Fit the intensities of the tissues of one scan.

    A voxel's weight in a tissue is its posterior times ``f / (f + l)``, where f is the tissue's
    density there and l the density ``UNLIKELY_SD`` standard deviations from its mean (Van Leemput
    et al. 2001): a lesion's weight is nearly 0. Each mean is then averaged with that of ``start``,
    as if ``shrinkage / 10`` scans of this size had it, and each variance, made consistent by
    ``WEIGHTED_VARIANCE``, with that of ``shrinkage`` such scans.

    Args:
        intensity: ``[n]``, voxels inside the brain.
        expected: ``[n, K]``, probability of each tissue at each voxel before its intensity is seen.
        start: where the fit starts, and what it is drawn to.
        shrinkage: weight of ``start``, in scans; 0 for none, unless no voxel is of a tissue.

    Returns:
        The fitted intensities; ``start`` where there is no voxel.
    """
    mean, sd = start.mean, start.sd
    prior_count = shrinkage * expected.sum(axis=0) + _A_VOXEL
    likely = np.ascontiguousarray(expected.T)  # [K, n]: numpy is slow along an axis of three
    least = np.exp(-0.5 * UNLIKELY_SD**2)
    for _ in range(ITERATIONS if len(intensity) else 0):
        away = (intensity - mean[:, None]) / sd[:, None]
        density = np.exp(-0.5 * away**2)  # times sqrt(2 pi) sd
        posterior = likely * density / sd[:, None]
        posterior /= posterior.sum(axis=0) + 1e-12
        weight = posterior * density / (density + least)
        count = weight.sum(axis=1)
        drawn = 0.1 * prior_count
        mean = (weight @ intensity + drawn * start.mean) / (count + drawn)
        spread = (weight * (intensity - mean[:, None]) ** 2).sum(axis=1) / WEIGHTED_VARIANCE
        sd = np.sqrt((spread + prior_count * start.sd**2) / (count + prior_count))
        sd = np.maximum(sd, SMALLEST_SD)
    return TissueIntensities(mean, sd)


def surprise(intensity: FloatArray, expected: FloatArray, tissues: TissueIntensities) -> FloatArray:
    """Return how surprising it is to be that bright: ``-log10 P(healthy tissue is brighter)``.

    ``P = sum_k expected_k Q((x - mean_k) / sd_k)`` over GM and WM, with Q the upper tail of the
    standard normal distribution: 1.3 is one healthy voxel in 20, 3 is one in 1,000. CSF is dark in
    FLAIR, and what is bright where it is expected is judged as GM.

    Args:
        intensity: ``[n]``.
        expected: CSF, GM and WM, ``[n, 3]``, positive, of sum 1.
        tissues: CSF, GM and WM of the same scan.

    Returns:
        float64 ``[n]``, at least 0.
    """
    matter = np.stack((expected[:, 0] + expected[:, 1], expected[:, 2]), axis=1)
    tails = log_ndtr(-(intensity[:, None] - tissues.mean[1:]) / tissues.sd[1:]) + np.log(matter)
    result: FloatArray = np.maximum(-np.logaddexp.reduce(tails, axis=1) / np.log(10.0), 0.0)
    return result
