"""The detector `outlier`, one scan."""

from __future__ import annotations

import statistics
import time

import numpy as np
from scipy import ndimage

from benchmarks.measure import Row, at_most
from methods.outlier import Outlier
from uad_bench.method import TISSUES, FitContext, Slices, TissuePrior
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.space import template_brain, template_grid, template_tissues


def scan(seed: int, lesions: int) -> Slices:
    """A brain of the template's shape: a blurred FLAIR with noise and, on request, lesions."""
    recipe, rng = Recipe(), np.random.default_rng(seed)
    tissues, brain = template_tissues(recipe), template_brain(recipe)
    image = np.tensordot(np.array([0.2, 0.6, 0.53]), tissues, 1)
    image += ndimage.gaussian_filter(rng.normal(0.0, 0.1, image.shape), 1)
    for place in rng.choice(np.argwhere(ndimage.binary_erosion(brain, iterations=8)), lesions):
        apart = (np.moveaxis(np.indices(brain.shape), 0, -1) - place) * template_grid(
            recipe
        ).spacing
        image[(apart**2).sum(axis=-1) < rng.uniform(2, 12) ** 2] = 0.9
    image = np.where(brain, image.clip(0, 1), 0).astype(np.float32)
    return Slices(
        image[:, None], brain[:, None], np.arange(len(brain)), template_grid(recipe).spacing
    )


def measure() -> list[Row]:
    """Take the time of one scan."""
    tissues = template_tissues(Recipe())
    mean = np.concatenate([tissues, 1 - tissues.sum(axis=0, keepdims=True)])
    assert len(mean) == len(TISSUES)
    method = Outlier()
    prior = TissuePrior(mean, np.full_like(mean, 0.02), "template")
    method.fit(scan(0, 0), scan(1, 0), FitContext(0, tissue_prior=prior))
    patient, seconds = scan(2, 10), []
    method.score(patient)
    for _ in range(9):
        start = time.perf_counter()
        method.score(patient)
        seconds.append(time.perf_counter() - start)
    voxels = int(patient.brain.sum())
    return [at_most(f"a scan of {voxels:,} brain voxels", statistics.median(seconds), "s", 0.3)]
