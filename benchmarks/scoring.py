"""Scoring a scan: reconstruction, positive residual, median of 3 x 3, 16-bit scores."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks._slices import METHODS, WIDTH, as_torch_has_it, context, detector, slices
from benchmarks.measure import Row, compare
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.method import Slices
from uad_bench.runner.detectors.scoring import brain_on, signed_residual
from uad_bench.training import VariationalReconstruction

Scores = NDArray[np.uint16]

COUNT = 24


def ours(method: VariationalReconstruction, scan: Slices) -> Scores:
    """Score as a run does."""
    residual, _ = signed_residual(method, scan)
    return quantise(STAR.apply(residual, brain_on(scan)))


@torch.inference_mode()
def plain(method: VariationalReconstruction, scan: Slices) -> Scores:
    """Score slice by slice, as one would write it first."""
    device, scores = next(method.network_.parameters()).device, []
    for image, brain in zip(scan.image, scan.brain, strict=True):
        latent = method.network_.encode(torch.from_numpy(image[None]).to(device))
        made = method.network_.decode(latent).cpu().numpy()[0, 0] * brain[0]
        excess = np.maximum(image[0] - made, 0)
        smooth = ndimage.median_filter(excess, size=3, mode="nearest")
        scores.append(np.round(smooth.astype(np.float64) * 65535).astype(np.uint16))
    return np.stack(scores)


def near(first: Scores, second: Scores, most: int = 2) -> bool:
    """Whether scores agree up to how a network's sums are rounded."""
    return bool(np.abs(first.astype(int) - second).max() <= most)


def measure() -> list[Row]:
    """Compare with one slice at a time through a network in torch's own memory format."""
    rows: list[Row] = []
    scan = slices(COUNT)
    for name in METHODS:
        method = detector(name, context())
        theirs = copy.deepcopy(method)
        as_torch_has_it(theirs.network_)
        rows += compare(
            f"{name.upper()}, width {WIDTH}, {COUNT} slices of 128 x 112",
            partial(ours, method, scan),
            {"one slice at a time, NCHW, scipy's median": (partial(plain, theirs, scan), 2)},
            same=near,
            repeat=4,
        )
    return rows
