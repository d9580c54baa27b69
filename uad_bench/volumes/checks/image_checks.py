"""What is odd about one image: its voxels, its intensities, its sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uad_bench.volumes.checks.appearance import deep_to_rim, skewness, spacing
from uad_bench.volumes.checks.findings import Notes
from uad_bench.volumes.files.masks import has_zero_background
from uad_bench.volumes.files.nifti import Volume
from uad_bench.volumes.grid import FloatArray

Mask = NDArray[np.bool_]

MIN_SPACING_MM, MAX_SPACING_MM, THICK_MM = 0.3, 7.0, 3.0

SATURATED, DOMINANT, NEGATIVE = 0.001, 0.2, 0.05
"""Shares of the voxels inside from which they are worth a warning."""

NEGLIGIBLE = 0.001
"""Share of negative voxels that is not worth a note: interpolation leaves some."""

T1_LIKE, T2_LIKE, T2_SKEWNESS = 1.2, 0.95, 0.15
"""See ``deep_to_rim`` and ``skewness`` in ``appearance``: FLAIR is between."""


def check_spacing(flair: Volume, notes: Notes) -> tuple[float, ...]:
    """Look at the voxel size, and return it in mm, from the smallest."""
    sizes = spacing(flair.affine)
    shown = " x ".join(f"{size:.3g}" for size in sizes) + " mm"
    if max(sizes) > MAX_SPACING_MM or min(sizes) < MIN_SPACING_MM:
        notes.add("warning", flair.path, f"unusual voxels of {shown}; check the header")
    elif max(sizes) > THICK_MM:
        notes.add("note", flair.path, f"thick slices: voxels of {shown}")
    return tuple(sorted(sizes))


def check_intensities(image: FloatArray, values: FloatArray, flair: Volume, notes: Notes) -> None:
    """Look at the range of the values inside the brain or head."""
    path = flair.path
    if not has_zero_background(image):
        corner = image[0, 0, 0]
        if np.mean(image == corner) > DOMINANT:
            notes.add(
                "warning", path, f"the background is {corner:g}, not 0; set it to 0 to be stripped"
            )
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    negative = np.count_nonzero(values < 0) / values.size
    if negative > NEGATIVE:
        notes.add(
            "warning", path, f"{negative:.0%} of the voxels inside are negative: standardised?"
        )
    elif negative > NEGLIGIBLE:
        notes.add("note", path, f"negative values down to {low:g} ({negative:.1%} of the voxels)")
    if low >= 0 and 1 < high <= 255 and np.array_equal(values, np.rint(values)):
        notes.add("note", path, f"whole numbers up to {high:g} only: 8 bits of intensity")
    saturated = np.count_nonzero(values == high) / values.size
    if saturated > SATURATED:
        notes.add("warning", path, f"{saturated:.1%} of the voxels are at the maximum, {high:g}")
    sample = values[:: max(values.size // 100_000, 1)]
    found, counts = np.unique(sample, return_counts=True)
    share = counts.max() / sample.size
    if share > DOMINANT:
        notes.add(
            "warning", path, f"{share:.0%} of the voxels inside are {found[counts.argmax()]:g}"
        )


def check_sequence(
    image: FloatArray, brain: Mask, lesion: Mask | None, flair: Volume, notes: Notes
) -> None:
    """Does a stripped image look like another sequence? With its skull, that is not to be seen."""
    without = np.zeros_like(brain) if lesion is None else lesion
    ratio = deep_to_rim(image, brain, without, flair.affine)
    if ratio is None:
        return
    brightness = f"its deep brain is {ratio:.2f} times as bright as its rim"
    if ratio > T1_LIKE:
        notes.add("warning", flair.path, f"{brightness}, as in a T1; is it a FLAIR?")
    elif ratio < T2_LIKE and skewness(image[brain & ~without]) > T2_SKEWNESS:
        notes.add("warning", flair.path, f"{brightness} and fluid is bright, as in a T2; a FLAIR?")
