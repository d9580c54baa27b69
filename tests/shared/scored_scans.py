"""Noisy scans with scores, and what protocols make of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import ScoredScan

PROTOCOLS = {"strict": STRICT, "paper": PAPER}
SHAPE = (8, 24, 20)
SPACING = (2.0, 1.5, 1.5)


def make_scan(subject, seed, session=None, lesions=True, gain=6000):
    """A noisy scan: a box of brain, blobs of lesion inside it, a stripe of ignored voxels."""
    rng = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, np.bool_)
    brain[:, 3:21, 3:17] = True
    field = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.2)
    found = brain & (field > np.quantile(field[brain], 0.95)) & lesions
    lesion = found.astype(np.uint8)
    lesion[:, 10, 5:8] = 2
    scores = rng.integers(0, 12_000, SHAPE) + gain * found
    scores[~brain] //= 3
    return ScoredScan(
        subject, session, scores.astype(np.uint16), lesion, brain, SPACING, np.arange(8)
    )


def run(protocol, scans, validation):
    return PROTOCOLS[protocol].evaluate(lambda: iter(scans), validation)


def kept(scan):
    """Voxels that count."""
    return scan.lesion != 2


def by_subject(values):
    """Mean over sessions, then over subjects, for ``dataset``: a, b (two sessions), c."""
    a, b1, b2, c = values
    return np.mean([a, (b1 + b2) / 2, c])


def dice(prediction, lesion):
    return 2 * (prediction & lesion).sum() / (prediction.sum() + lesion.sum())
