"""Quality of a registered scan: its numbers, what is odd about it, whether it may take part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict

from uad_bench.volumes.checks.appearance import lesion_contrasts, seems_flipped
from uad_bench.volumes.checks.template_fit import fit_template
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.read import LoadedScan
from uad_bench.volumes.steps.slices import ScanSlices
from uad_bench.volumes.steps.space import (
    MIN_COVERED,
    MIN_INSIDE,
    overlap,
    template_brain,
    template_grid,
)

MIN_ADVANTAGE, SURE_ADVANTAGE = -0.02, 0.02
"""A scan whose advantage is below the first is held out, below the second named.

Measured on 12 real FLAIR (2 MSLUB, 4 BraTS, 3 thick MS, 3 healthy) and 3 phantoms, each as it was
registered and then moved on purpose:

| | scans | advantage | held out |
|---|--:|--:|--:|
| as registered | 15 | 0.03 to 0.52 | 0 |
| shifted by 5, 10, 15 mm | 45 each | above -0.09; below -0.01; below -0.08 | 9, 44, 45 |
| shifted by 20 and 30 mm | 90 | -0.39 to -0.06 | 90 |
| turned by 5, 10 degrees | 45 each | above -0.03; above -0.07 | 0, 6 |
| turned by 20, 30 and 40 degrees | 225 | -0.31 to 0.08 | 221 |
| 12 mm and 15 degrees at once | 45 | -0.17 to 0.05 | 36 |
| upside down, back to front | 30 | -0.62 to -0.05 | 30 |

Correlation alone would not do: it is 0.07 to 0.64 as registered and up to 0.27 after 20 degrees.
A wrong scale of 0.8 or 1.25 is found in 21 of 30; the brain's volume names most of the others.
"""

MIN_CORRELATION = 0.03
"""As registered, the scans above have 0.07 to 0.64; one with its contrast inverted has -0.36."""

BRAIN_ML = (1000.0, 2300.0)
"""Usual volumes in MNI152 space, where brains are a third larger: here 1099 to 2136 ml."""

MAX_CSF, MIN_GM = 1.3, 0.8
"""Fluid over white matter: real FLAIR 0.3 to 1.1 (thin ventricles share their voxels), an inverted
one 2.3. Grey over white matter: real FLAIR 0.90 to 1.17, the T1 of MNI152 and of SRI24 0.5 to 0.7.
"""

MAX_LESION_OUTSIDE, MAX_LESION_CHANGE = 0.05, 0.35
"""Shares of the lesion. Real ones here: at most 0.2 % outside, a third lost (1.3 ml in all)."""

MIN_DATASET = 5
"""Fewest scans of a dataset in which an odd one can be told."""

MAX_Z = 3.5
"""Robust z score from which a number is odd (Iglewicz and Hoaglin 1993)."""

_RECIPE = Recipe()
"""Overlap is that with the template's brain on this grid, whatever recipe prepares the scan."""


class ScanQuality(BaseModel):
    """What is measured of a registered scan.

    Attributes:
        dice: Dice coefficient of the scan's brain and the template's.
        inside: share of the scan's brain inside the template's.
        covered: share of the template's brain that the scan's covers.
        brain_ml: volume of the brain in MNI152 space, in ml.
        correlation: with the FLAIR expected from the template's tissues; see
            :class:`~uad_bench.volumes.checks.template_fit.Fit`, as for the next four.
        advantage: how much better the scan fits as it lies than moved or turned.
        rival: the best of those other poses, in words.
        csf: brightness of deep CSF, relative to white matter.
        gm: brightness of deep grey matter, relative to white matter.
        lesion_ml_before: lesion volume in MNI152 space before resampling, in ml.
        lesion_ml_after: the same in the slices; ``None`` for a scan that was not sliced.
        lesion_outside: share of lesion voxels outside the brain mask; ``None`` without a lesion.
        lesion_flipped: whether the lesion mask fits the image better with left and right exchanged.
        saturated_share: share of lesion voxels in the slices that are clipped at 1; ``None``
            without a lesion or slices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dice: float
    inside: float
    covered: float
    brain_ml: float
    correlation: float
    advantage: float
    rival: str
    csf: float | None
    gm: float | None
    lesion_ml_before: float
    lesion_ml_after: float | None
    lesion_outside: float | None
    lesion_flipped: bool
    saturated_share: float | None

    def after(self, slices: ScanSlices) -> ScanQuality:
        """Return the same with what slicing did to the lesions."""
        return self.model_copy(
            update={
                "lesion_ml_after": slices.lesion_ml_after,
                "saturated_share": slices.saturated_share,
            }
        )


def measure(loaded: LoadedScan) -> ScanQuality:
    """Measure a registered scan before it is sliced, however badly it is registered.

    Args:
        loaded: the scan, with its affine to MNI152.
    """
    found = overlap(loaded.brain, loaded.affine, template_brain(_RECIPE), template_grid(_RECIPE))
    fit = fit_template(loaded)
    before, outside, flipped = 0.0, None, False
    if loaded.lesion is not None and (loaded.lesion == 1).any():
        marked = loaded.lesion == 1
        count = int(np.count_nonzero(marked))
        before = count * abs(float(np.linalg.det(loaded.affine[:3, :3]))) / 1000.0
        outside = int(np.count_nonzero(marked & ~loaded.brain)) / count
        flipped = seems_flipped(
            *lesion_contrasts(loaded.image, marked, loaded.brain, loaded.affine)
        )
    return ScanQuality(
        dice=found.dice,
        inside=found.inside,
        covered=found.covered,
        brain_ml=found.brain_ml,
        correlation=fit.correlation,
        advantage=fit.advantage,
        rival=fit.rival,
        csf=fit.csf,
        gm=fit.gm,
        lesion_ml_before=before,
        lesion_ml_after=None,
        lesion_outside=outside,
        lesion_flipped=flipped,
        saturated_share=None,
    )


def failed(quality: ScanQuality) -> str | None:
    """Return why a scan is held out, in one line; ``None`` for a scan that lies in the template."""
    if quality.inside < MIN_INSIDE or quality.covered < MIN_COVERED:
        return (
            f"its brain covers {quality.covered:.0%} of the template's and lies "
            f"{quality.inside:.0%} inside it (at least {MIN_COVERED:.0%} and {MIN_INSIDE:.0%} are "
            "needed): register it again"
        )
    if quality.advantage < MIN_ADVANTAGE:
        return f"it lies wrongly in the template: it fits better {quality.rival}; register it again"
    return None


def findings(quality: ScanQuality) -> tuple[str, ...]:
    """Return what a person should look at, in plain words; empty for a scan like any other."""
    found = []
    if MIN_ADVANTAGE <= quality.advantage < SURE_ADVANTAGE:
        found.append(f"it fits the template hardly worse {quality.rival}: look at its registration")
    if quality.correlation < MIN_CORRELATION:
        found.append(
            f"it looks little like a FLAIR of the template (correlation {quality.correlation:.2f})"
        )
    if quality.csf is not None and quality.csf > MAX_CSF:
        found.append(
            f"fluid is {quality.csf:.1f} times as bright as white matter: a T2 and no FLAIR?"
        )
    elif quality.gm is not None and quality.gm < MIN_GM:
        found.append(
            f"grey matter is {quality.gm:.2f} times as bright as white matter: a T1 and no FLAIR?"
        )
    if not BRAIN_ML[0] <= quality.brain_ml <= BRAIN_ML[1]:
        found.append(
            f"the brain has {quality.brain_ml:.0f} ml in template space "
            f"({BRAIN_ML[0]:.0f} to {BRAIN_ML[1]:.0f} are usual): look at the brain mask"
        )
    if quality.lesion_outside is not None and quality.lesion_outside > MAX_LESION_OUTSIDE:
        found.append(f"{quality.lesion_outside:.0%} of the lesion lies outside the brain mask")
    if quality.lesion_flipped:
        found.append("the lesion mask fits the image better mirrored: left and right exchanged?")
    before, after = quality.lesion_ml_before, quality.lesion_ml_after
    if after is not None and abs(after - before) > MAX_LESION_CHANGE * before:
        found.append(f"resampling changed the lesion from {before:.2f} to {after:.2f} ml")
    return tuple(found)


def outliers(qualities: Mapping[str, ScanQuality]) -> dict[str, tuple[str, ...]]:
    """Return the numbers in which a scan is unlike the others of its dataset, by scan.

    A number x is odd where ``0.6745 |x - median| / MAD > 3.5``, with the median absolute deviation
    MAD of the dataset, but at least a spread that is always found (Iglewicz and Hoaglin 1993).

    Args:
        qualities: all scans of a dataset, by name.

    Returns:
        Only scans that are odd; nothing for fewer than five scans.
    """
    odd: dict[str, tuple[str, ...]] = {}
    if len(qualities) < MIN_DATASET:
        return odd
    for field, words, form, least in _COMPARED:
        values = {name: getattr(one, field) for name, one in qualities.items()}
        known = np.array([value for value in values.values() if value is not None])
        if len(known) < MIN_DATASET:
            continue
        median = float(np.median(known))
        spread = max(float(np.median(np.abs(known - median))), least)
        for name, value in values.items():
            if value is not None and 0.6745 * abs(value - median) / spread > MAX_Z:
                said = f"{words} {form.format(value)} (median {form.format(median)})"
                odd[name] = (*odd.get(name, ()), f"unlike the dataset: {said}")
    return odd


_COMPARED = (
    ("dice", "Dice with the template's brain", "{:.2f}", 0.01),
    ("brain_ml", "volume of the brain", "{:.0f} ml", 30.0),
    ("correlation", "correlation with the template", "{:.2f}", 0.03),
    ("csf", "brightness of fluid", "{:.2f}", 0.05),
    ("gm", "brightness of grey matter", "{:.2f}", 0.015),
)
"""What is compared in a dataset: field, words, form, least MAD. Lesion volumes differ by nature."""
