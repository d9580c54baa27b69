"""What Bercea et al. 2022 measure on healthy people: tissue maps of the latent, and likeness."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError

TISSUES = ("CSF", "GM", "WM")
"""The tissues that have a Dice, in the order of latent maps; the background comes after them."""

FloatArray = NDArray[np.float32]

_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2


def tissue_dice(
    maps: FloatArray, tissue: NDArray[np.uint8], brain: NDArray[np.bool_]
) -> dict[str, float]:
    """Return Dice of CSF, GM and WM over all given slices together (the paper's Figure 2).

    Every pixel of the brain mask gets the tissue with the highest value, in ``maps`` and in
    ``tissue`` (of equals, the first of CSF, GM, WM, background). Pixels outside the mask do not
    count. Background is what the three tissues leave of 1; it has no Dice of its own, but a pixel
    of the mask where one side says background and the other a tissue is an error of that tissue.

    Args:
        maps: latent tissue maps ``[N, 4, H, W]`` of CSF, GM, WM and background.
        tissue: true maps ``[N, 3, H, W]``, 255 x probability of CSF, GM, WM.
        brain: ``[N, 1, H, W]``.

    Returns:
        Dice in [0, 1] by tissue; a tissue that neither side has anywhere is left out.

    Raises:
        UadBenchError: if the shapes do not fit together.
    """
    count, _, *size = maps.shape
    kinds = len(TISSUES) + 1
    wanted = ((count, kinds, *size), (count, len(TISSUES), *size), (count, 1, *size))
    shapes = (maps.shape, tissue.shape, brain.shape)
    if shapes != wanted:
        raise UadBenchError(
            f"tissue maps {shapes[0]}, true tissues {shapes[1]} and brain {shapes[2]} must be "
            "[N, 4, H, W], [N, 3, H, W] and [N, 1, H, W] of the same slices"
        )
    inside = brain[:, 0]
    background = 255 - tissue.sum(axis=1, keepdims=True, dtype=np.int16)
    truth = np.concatenate([tissue.astype(np.int16), background], axis=1).argmax(axis=1)[inside]
    found = maps.argmax(axis=1)[inside]
    both = np.bincount(truth[truth == found], minlength=kinds)
    total = np.bincount(truth, minlength=kinds) + np.bincount(found, minlength=kinds)
    return {
        name: 2.0 * int(both[at]) / int(total[at]) for at, name in enumerate(TISSUES) if total[at]
    }


def ssim(image: FloatArray, reconstruction: FloatArray, brain: NDArray[np.bool_]) -> float:
    """Return the mean structural similarity of a scan's slices (Wang et al. 2004, eq. 13).

    Local statistics under an 11 x 11 Gaussian window of 1.5 pixels standard deviation, for a
    dynamic range of 1 with K1 = 0.01 and K2 = 0.03; per slice the mean over every window that lies
    wholly in the slice, then the mean over slices. Both pictures are 0 outside the brain first.
    The background therefore counts, as identical: this is the convention in which the field gives
    SSIM of whole slices, and it raises the value. Compare it only on the same grid.

    Args:
        image: ``[N, 1, H, W]`` in [0, 1].
        reconstruction: of the same shape.
        brain: of the same shape.

    Returns:
        A number in [-1, 1]; 1 for equal pictures.

    Raises:
        UadBenchError: if the shapes differ, there is no slice, or slices are smaller than 11 x 11.
    """
    shape, window = image.shape, 2 * _RADIUS + 1
    if {reconstruction.shape, brain.shape} != {shape} or not len(image) or min(shape[2:]) < window:
        raise UadBenchError(
            f"SSIM of {shape}, {reconstruction.shape} in brain {brain.shape}: give at least one "
            f"slice, all [N, 1, H, W] of one shape with H and W at least {window}"
        )
    x, y = (np.where(brain, one, 0.0).astype(np.float64)[:, 0] for one in (image, reconstruction))
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variances = _local_mean(x * x) - mean_x**2 + _local_mean(y * y) - mean_y**2
    covariance = _local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    return float((luminance * structure).mean())


def _local_mean(slices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means of all whole windows, ``[N, H, W] -> [N, H - 10, W - 10]``."""
    smooth: NDArray[np.float64] = scipy.ndimage.gaussian_filter(
        slices, (0.0, _SIGMA, _SIGMA), truncate=_RADIUS / _SIGMA
    )
    return smooth[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
