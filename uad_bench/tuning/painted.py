"""Lesions painted into healthy slices: a detector is tested without a patient.

Each lesion is a soft, ragged ellipse of 4 to 20 mm. Its centre is in tissue of about the slice's
median intensity, as white matter is in FLAIR, and it is brighter than that by a quarter to nine
tenths. Half of the slices get one to four of them. They are no disease: they are spots that are
plausible in size, place and brightness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision
from uad_bench.method import FloatArray, Slices
from uad_bench.models.corruption.synthetic import draw_shapes

AUPRC = "AUPRC of painted lesions"

_SIZE_MM = (4.0, 20.0)
_MOST = 4
_BRIGHTER = (1.25, 1.9)
_LIKE_WHITE = (0.85, 1.25)
_COVERED = 0.5
"""A pixel is lesion where this share of it is covered, as raters draw it."""


def painted_auprc(
    score: Callable[[Slices], FloatArray], scans: Iterable[Slices], *, seed: int
) -> float:
    """Return the AUPRC of a detector's anomaly maps over all pixels of brains.

    Args:
        score: from the slices of a scan to its anomaly map ``[N, H, W]`` in [0, 1].
        scans: healthy validation scans. People that are tested must not be among them.
        seed: of what is painted: the same for every detector.
    """
    histograms = []
    for number, scan in enumerate(scans):
        slices, lesion = paint(scan, torch.Generator().manual_seed((seed << 16) + number))
        histograms.append(
            ScoreHistogram.of(score(slices), lesion, np.ascontiguousarray(scan.brain[:, 0]))
        )
    return average_precision(ScoreHistogram.pooled(histograms)) or 0.0


def paint(slices: Slices, generator: torch.Generator) -> tuple[Slices, NDArray[np.uint8]]:
    """Return healthy slices with lesions, and where these are, uint8 ``[N, H, W]``.

    Args:
        slices: of one person.
        generator: source of every draw.
    """
    image = torch.from_numpy(np.array(slices.image, np.float32))
    brain = torch.from_numpy(np.array(slices.brain))
    usual = image.masked_fill(~brain, torch.nan).flatten(1).nanmedian(dim=1).values
    usual = usual.nan_to_num(0.0)[:, None, None, None]
    low, high = _LIKE_WHITE
    likely = brain & (image > low * usual) & (image < high * usual)
    count = torch.randint(1, _MOST + 1, (len(image),), generator=generator)
    count *= torch.rand(len(image), generator=generator) < 0.5
    lesion = torch.zeros_like(brain)
    for number in range(_MOST):
        shape = draw_shapes(likely, slices.spacing[1:], generator, size_mm=_SIZE_MM, ragged=True)
        chance = torch.rand(len(image), 1, 1, 1, generator=generator)
        bright = usual * (_BRIGHTER[0] + (_BRIGHTER[1] - _BRIGHTER[0]) * chance)
        has = (count > number)[:, None, None, None] & likely.flatten(1).any(1)[:, None, None, None]
        cover = shape * brain * has
        image = image + cover * (bright - image).clamp(min=0)
        lesion |= cover >= _COVERED
    painted = replace(slices, image=image.clamp(0, 1).numpy())
    return painted, lesion[:, 0].numpy().astype(np.uint8)
