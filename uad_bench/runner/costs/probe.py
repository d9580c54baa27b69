"""A short probe of a method: some steps on noise, and a few slices scored."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
from scipy import ndimage

from uad_bench.errors import DivergenceError
from uad_bench.evaluation.protocol import Protocol
from uad_bench.evaluation.scored import ScoredScan, slices_with_brain
from uad_bench.evaluation.scores.histograms import ScoreHistogram, quantise
from uad_bench.method import (
    TISSUES,
    EnsembleMethod,
    FitContext,
    Method,
    Params,
    Slices,
    TissuePrior,
)
from uad_bench.models.batches import SIZE
from uad_bench.runner.costs.known import Costs, cost_key
from uad_bench.runner.detectors.trainings import trainings
from uad_bench.runner.environment import peak_bytes
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.space import template_brain

_STEPS = 4
"""Steps that are timed, less a training of one, which makes the network and checks it once."""

_SLICES = 16
"""Slices that are learned from."""


def noise(recipe: Recipe) -> Slices:
    """Return noise in the template's brain, with a ball in it as lesion, as one scan."""
    brain = template_brain(recipe)
    spacing = (recipe.slice_mm, recipe.pixel_mm, recipe.pixel_mm)
    z = slices_with_brain(brain, spacing)
    image = np.where(brain, np.random.default_rng(0).uniform(0.2, 0.7, brain.shape), 0)
    places = [np.arange(size) * step for size, step in zip(brain.shape, spacing, strict=True)]
    middle = [np.average(at, weights=brain.sum(axis=_others(i))) for i, at in enumerate(places)]
    away = sum(
        (at - centre).reshape([-1 if i == axis else 1 for i in range(3)]) ** 2
        for axis, (at, centre) in enumerate(zip(places, middle, strict=True))
    )
    lesion = (away < 10.0**2) & brain
    return Slices(
        image[z, None].astype(np.float32),
        brain[z, None],
        z,
        spacing,
        lesion[z, None].astype(np.uint8),
    )


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != axis)


def probe_evaluation(protocols: tuple[Protocol, ...], scan: Slices) -> float:
    """Return the seconds that protocols take for a slice of scores of one map."""
    assert scan.lesion is not None
    rough = ndimage.gaussian_filter(scan.image[:, 0], 1.0)
    brain = scan.brain[:, 0]
    scored = ScoredScan(
        "probe", None, quantise(rough), scan.lesion[:, 0], brain, scan.spacing, scan.z
    )
    validation = ScoreHistogram.pooled([scored.brain_histogram()])

    def evaluate() -> float:
        start = time.perf_counter()
        for protocol in protocols:
            protocol.evaluate(lambda: iter([scored]), validation)
        return time.perf_counter() - start

    evaluate()  # compiles what is not compiled yet
    return evaluate() / len(scan)


def probe(method: type[Method], params: Params, known: Costs, scan: Slices, device: str) -> Costs:
    """Return what a method costs, from a training of some steps on noise.

    Args:
        method: the method.
        params: its parameters.
        known: what need not be measured: trainings that others share.
        scan: noise, from :func:`noise`.
        device: a torch device.
    """
    found = Costs()
    fitted: list[Method] = []
    for root, own, seed in trainings(method, params, 0):
        key = cost_key(root, own)
        made, seconds, count = _trained(
            root, own, seed, scan, device, again=key not in known.unit_s
        )
        if key not in known.unit_s:
            found.unit_s[key] = seconds / count
        fitted.append(made)
    whole = method(params)
    if isinstance(whole, EnsembleMethod):
        whole.join(fitted)
    elif method.trained_as is not None:
        whole.load(fitted[0].state(), device)
    else:
        (whole,) = fitted
    few = scan.take(np.arange(SIZE) + len(scan) // 2)
    whole.calibrate(replace(few, lesion=None), FitContext(seed=0, device=device))
    start = time.perf_counter()
    whole.score(replace(few, lesion=None))
    found.slice_s[cost_key(method, params)] = (time.perf_counter() - start) / SIZE
    return replace(found, memory_mb=peak_bytes() / 2**20)


def _trained(
    method: type[Method], params: Params, seed: int, scan: Slices, device: str, *, again: bool
) -> tuple[Method, float, int]:
    """Train for some steps.

    Returns:
        The method, seconds, and how many steps, or slices where there are no steps, they took.
    """
    wanted = max(_SLICES, getattr(params, "batch_size", 0))
    few = scan.take(np.sort(np.arange(wanted) * (len(scan) // _SLICES) % len(scan)))
    few = few if "lesion_masks" in method.info.needs else replace(few, lesion=None)
    shape = (len(TISSUES), int(scan.z.max()) + 1, *scan.image.shape[2:])
    flat = np.full(shape, 1 / len(TISSUES), np.float32)
    prior = TissuePrior(flat, np.full_like(flat, 0.05), "none")
    needs_prior = "tissue_prior" in method.info.needs
    context = FitContext(seed=seed, device=device, tissue_prior=prior if needs_prior else None)

    def fit(**short: int) -> tuple[Method, float]:
        known = {name: value for name, value in short.items() if name in method.Params.model_fields}
        made = method(params.model_copy(update=known))
        start = time.perf_counter()
        with suppress(DivergenceError):  # so short a training may look like a collapse
            made.fit(few, few, context)
        return made, time.perf_counter() - start

    made, first = fit(steps=1, checks=1)
    if not again or "steps" not in method.Params.model_fields:
        return made, first, len(few)
    _, first = fit(steps=1, checks=1)  # the very first loads what all need
    made, seconds = fit(steps=_STEPS, checks=1)
    return made, max(0.0, seconds - first), _STEPS - 1
