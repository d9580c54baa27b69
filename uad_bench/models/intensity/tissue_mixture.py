"""How bright healthy tissue is in one scan: a mixture that bright lesions do not bend.

After Van Leemput et al. 2001 (IEEE Trans Med Imaging 20): a Gaussian per tissue, expected where an
atlas says, fitted by expectation-maximisation in which a voxel that no tissue explains counts less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import log_ndtr

from uad_bench.kernels import compiled_or

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

LEVELS = 2**14
"""So many intensities are told apart in a fit, evenly from a scan's least to its largest."""

_A_VOXEL = 1e-6


@dataclass(frozen=True, slots=True)
class TissueIntensities:
    """Mean and standard deviation of the intensity of CSF, GM and WM, float64 ``[3]``."""

    mean: FloatArray
    sd: FloatArray

    @classmethod
    def median(cls, several: Sequence[TissueIntensities]) -> TissueIntensities:
        """Return those of the typical scan: tissue by tissue, the medians of both."""
        mean = np.median([one.mean for one in several], axis=0)
        return cls(mean, np.median([one.sd for one in several], axis=0))


def blurred(
    prior: NDArray[np.uint8], spacing: tuple[float, float, float], tolerance: float
) -> FloatArray:
    """Blur an atlas within slices, for what registration leaves; once for all scans of a detector.

    Args:
        prior: 255 x probability, ``[K, Z, H, W]``.
        spacing: voxel size ``(z, y, x)`` in mm.
        tolerance: standard deviation in mm.

    Returns:
        Probabilities, ``[K, Z, H, W]``, read-only.
    """
    return _blurred(prior.tobytes(), prior.shape, spacing, tolerance)


@lru_cache(maxsize=1)
def _blurred(
    prior: bytes, shape: tuple[int, ...], spacing: tuple[float, float, float], tolerance: float
) -> FloatArray:
    maps: FloatArray = np.frombuffer(prior, np.uint8).reshape(shape) / 255.0
    if tolerance:
        maps = gaussian_filter(maps, (0.0, 0.0, tolerance / spacing[1], tolerance / spacing[2]))
    maps.flags.writeable = False
    return maps


def expectation(
    maps: Sequence[FloatArray], brain: NDArray[np.bool_], *, doubt: float
) -> FloatArray:
    """How probable each tissue is at every voxel of the brain, before its intensity is seen.

    Args:
        maps: probability of CSF, GM and WM, each ``[N, H, W]``.
        brain: ``[N, H, W]``.
        doubt: probability added to GM and WM everywhere, before all are made to sum to 1.

    Returns:
        ``[n, 3]``, positive, of sum 1.
    """
    added = (0.0, doubt, doubt)
    expected = [part[brain] + LEAST_EXPECTED + more for part, more in zip(maps, added, strict=True)]
    total = expected[0] + expected[1] + expected[2]
    return np.stack([part / total for part in expected]).T


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
        expected: CSF, GM and WM, ``[n, 3]``, how probable each is at each voxel before its
            intensity is seen.
        start: where the fit starts, and what it is drawn to.
        shrinkage: weight of ``start``, in scans; 0 for none, unless no voxel is of a tissue.

    Returns:
        The fitted intensities; ``start`` where there is no voxel.
    """
    mean, sd = start.mean, start.sd
    prior_count = shrinkage * expected.sum(axis=0) + _A_VOXEL
    drawn = 0.1 * prior_count
    order, ends, typical = _levels(intensity)
    likely = np.stack([share[order] for share in expected.T])
    least = np.exp(-0.5 * UNLIKELY_SD**2)
    for _ in range(ITERATIONS if len(intensity) else 0):
        away = (typical - mean[:, None]) / sd[:, None]
        density = np.exp(-0.5 * away**2)  # times sqrt(2 pi) sd
        posterior = density / sd[:, None]
        posterior *= _shared(likely, ends, posterior)
        weight = posterior * density / (density + least)
        count = weight.sum(axis=1)
        mean = (weight @ typical + drawn * start.mean) / (count + drawn)
        spread = (weight * (typical - mean[:, None]) ** 2).sum(axis=1) / WEIGHTED_VARIANCE
        sd = np.sqrt((spread + prior_count * start.sd**2) / (count + prior_count))
        sd = np.maximum(sd, SMALLEST_SD)
    return TissueIntensities(mean, sd)


def _levels(
    intensity: FloatArray,
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Sort voxels by levels of intensity.

    Returns:
        The voxels in the order of their levels, ``[n]``; for every level that there is, the place
        behind its last voxel in that order, and the mean intensity of its voxels.
    """
    if not len(intensity):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    low, high = intensity.min(), intensity.max()
    step = (high - low) / (LEVELS - 1) or 1.0
    level = np.rint((intensity - low) / step).astype(np.uint16)
    voxels = np.bincount(level)
    there = voxels > 0
    typical = np.bincount(level, intensity)[there] / voxels[there]
    return np.argsort(level, kind="stable"), np.cumsum(voxels[there]), typical


def _shared_by_numpy(
    likely: FloatArray, ends: NDArray[np.int64], density: FloatArray
) -> FloatArray:
    level = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    total = sum(part * at[level] for part, at in zip(likely, density, strict=True))
    share = 1.0 / (total + 1e-12)
    return np.stack([np.bincount(level, part * share, len(ends)) for part in likely])


@compiled_or(_shared_by_numpy)
def _shared(likely: FloatArray, ends: NDArray[np.int64], density: FloatArray) -> FloatArray:
    """Sum what is expected of a tissue over the voxels of a level, each divided by its evidence.

    Three sums side by side take two thirds of the time of one after the other, with the same bits.

    Args:
        likely: what is expected of the voxels, sorted by level: CSF, GM and WM, ``[3, n]``.
        ends: the place behind the last voxel of each level, ``[L]``.
        density: of each tissue at each level, ``[3, L]``.

    Returns:
        ``[3, L]``.
    """
    shared, shares = np.zeros(density.shape), np.zeros(likely.shape[1])
    start = 0
    for level, end in enumerate(ends):
        csf, gm, wm = likely[0, start:end], likely[1, start:end], likely[2, start:end]
        at_csf, at_gm, at_wm = density[0, level], density[1, level], density[2, level]
        share = shares[start:end]
        for i in range(len(share)):
            share[i] = 1.0 / (csf[i] * at_csf + gm[i] * at_gm + wm[i] * at_wm + 1e-12)
        in_csf = in_gm = in_wm = 0.0
        for i in range(len(share)):
            in_csf += csf[i] * share[i]
            in_gm += gm[i] * share[i]
            in_wm += wm[i] * share[i]
        shared[0, level], shared[1, level], shared[2, level] = in_csf, in_gm, in_wm
        start = end
    return shared


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
    matter = (expected[:, 0] + expected[:, 1], expected[:, 2])
    tails = [
        log_ndtr(-(intensity - mean) / sd) + np.log(share)
        for mean, sd, share in zip(tissues.mean[1:], tissues.sd[1:], matter, strict=True)
    ]
    result: FloatArray = np.maximum(-np.logaddexp(*tails) / np.log(10.0), 0.0)
    return result
