"""A short probe of a method: some steps on noise, and a few slices scored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

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
"""Steps of a training that is timed, beside one of one step, which makes the network too."""

_TIMES = 3
"""How often both are timed: what else the machine does makes some of them slow."""

_ENOUGH_S = 6.0
"""Seconds of timed trainings after which none is timed again."""

_SLICES = 16
"""Slices that are learned from, where a batch has no more."""

_PEOPLE = 2
"""Whose they are at least: some methods learn from what people differ by."""


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
        known: what need not be measured, such as trainings that others share.
        scan: noise, from :func:`noise`.
        device: a torch device.
    """
    found = Costs()
    fitted: list[Method] = []
    scoring: dict[str, Method] = {}  # a trial scores with what is trained
    first = max(0, len(scan) - SIZE) // 2
    few = replace(scan.take(slice(first, first + SIZE)), lesion=None)
    for root, own, seed in trainings(method, params, 0):
        key = cost_key(root, own)
        is_known = key in known.unit_s or key in found.unit_s
        training = _Training.of(root, own, seed, scan, device)
        made, seconds = training.once() if is_known else training.timed()
        if not is_known:
            found.unit_s[key] = seconds
        made.calibrate(few, FitContext(seed, device))
        fitted.append(made)
        scoring.setdefault(key, made)
    whole = method(params)
    if isinstance(whole, EnsembleMethod):
        whole.join(fitted)
        whole.calibrate(few, FitContext(0, device))
    elif method.trained_as is not None:
        whole.load(fitted[0].state(), device)
        whole.calibrate(few, FitContext(0, device))
    else:
        (whole,) = fitted
    scoring[cost_key(method, params)] = whole
    for key, one in scoring.items():
        if key not in known.slice_s:
            start = time.perf_counter()
            one.score(few)
            found.slice_s[key] = (time.perf_counter() - start) / len(few)
    return replace(found, memory_mb=peak_bytes() / 2**20)


@dataclass(frozen=True, slots=True)
class _Training:
    """A training of some steps on noise."""

    method: type[Method]
    params: Params
    slices: Slices
    context: FitContext

    @classmethod
    def of(
        cls, method: type[Method], params: Params, seed: int, scan: Slices, device: str
    ) -> _Training:
        """Give a method what it needs."""
        slices = people(scan, max(_SLICES, getattr(params, "batch_size", 0)))
        if "lesion_masks" not in method.info.needs:
            slices = replace(slices, lesion=None)
        prior = None
        if "tissue_prior" in method.info.needs:
            shape = (len(TISSUES), int(scan.z.max()) + 1, *scan.image.shape[2:])
            flat = np.full(shape, 1 / len(TISSUES), np.float32)
            prior = TissuePrior(flat, np.full_like(flat, 0.05), "none")
        return cls(method, params, slices, FitContext(seed, device, tissue_prior=prior))

    def once(self, steps: int = 1) -> tuple[Method, float]:
        """Train a method, for as many steps if it counts them; return it, and the seconds."""
        fields = self.method.Params.model_fields
        short = {"steps": steps, "checks": 1}
        made = self.method(
            self.params.model_copy(update={k: v for k, v in short.items() if k in fields})
        )
        start = time.perf_counter()
        with suppress(DivergenceError):  # so short a training may look like a collapse
            made.fit(self.slices, self.slices, self.context)
        return made, time.perf_counter() - start

    def timed(self) -> tuple[Method, float]:
        """Train a method; return it, and the seconds of a step, or of a slice without steps."""
        made, seconds = self.once()
        if "steps" not in self.method.Params.model_fields:
            return made, seconds / len(self.slices)
        short, long = [seconds], list[float]()
        start = time.perf_counter()
        while not long or (len(long) < _TIMES and time.perf_counter() - start < _ENOUGH_S):
            short.append(self.once()[1])
            made, seconds = self.once(_STEPS)
            long.append(seconds)
        return made, _step_seconds(short, long)


def _step_seconds(short: Sequence[float], long: Sequence[float]) -> float:
    """Seconds of a step, from those of trainings of one step and of some.

    What else the machine does only adds to them, as what the first one loads does, so that the
    quickest count. Where all short ones were slowed so much that a step would cost nothing, it is
    the mean step of the long one.
    """
    step = (min(long) - min(short)) / (_STEPS - 1)
    return step if step > 0 else min(long) / _STEPS


def people(scan: Slices, count: int) -> Slices:
    """Return at least ``count`` slices of noise, of several people with slices at the same places.

    Args:
        scan: noise, from :func:`noise`.
        count: how many there must be.
    """
    several = max(_PEOPLE, -(-count // len(scan)))
    each = -(-count // several)
    found = scan.take(np.tile(np.arange(each) * len(scan) // each, several))
    image = np.where(found.brain, np.random.default_rng(1).uniform(0.2, 0.7, found.brain.shape), 0)
    return replace(found, image=image.astype(np.float32))
