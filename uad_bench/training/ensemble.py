"""Several detectors as one: how surprising their scores are in healthy people, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from uad_bench.errors import UadBenchError
from uad_bench.method import (
    EnsembleMethod,
    FitContext,
    FitReport,
    FloatArray,
    Method,
    Params,
    ReconstructionMethod,
    Slices,
    member_field,
)

_KNOWN = 3.0
"""Surprise up to which it is counted in healthy voxels; beyond, an exponential tail goes on."""

_KNOTS = 61
"""Points of a curve between surprises of 0 and ``_KNOWN``."""

_MOST = 20.0
"""The surprise of a score of 1."""

_LEAST_VOXELS = 1000
_LEAST_EXCESS = 1e-6


class EnsembleParams(Params):
    """How many detectors there are of each method, and how they are joined."""

    seeds: int = Field(default=1, ge=1, le=100)
    """Trainings of each method. With n of them, the ensemble of seed S has the seeds S n and on."""
    fusion: Literal["mean", "max"] = "mean"
    """How the surprises of the detectors become one."""


class SurpriseCurve:
    """How surprising a score is in healthy people: ``-log10 P(a healthy voxel scores as much)``.

    Counted up to a surprise of 3, one healthy voxel in 1,000. What exceeds that score is taken to
    fall off exponentially, by its mean excess there (Pickands 1975, with a shape of 0), so that
    scores above every healthy one keep their order. Where no healthy score exceeds it, because a
    method caps them, they go on falling off as fast as they do between their median and the cap.
    """

    def __init__(self, scores: NDArray[np.float64], excess: float) -> None:
        self.scores = scores
        """The score of each knot, rising, ``[_KNOTS]``."""
        self.excess = excess
        """Mean excess over the last knot."""

    @classmethod
    def of(cls, healthy: FloatArray) -> SurpriseCurve:
        """Count healthy scores ``[n]``."""
        values = healthy.astype(np.float64)
        shares = 1.0 - 10.0 ** -_surprises()
        scores = np.asarray(np.quantile(values, shares, method="higher"), dtype=np.float64)
        above = values[values > scores[-1]]
        excess = float((above - scores[-1]).mean()) if above.size else _decay(values, scores[-1])
        return cls(scores, max(excess, _LEAST_EXCESS))

    def __call__(self, score: FloatArray) -> NDArray[np.float64]:
        """Return the surprise of scores of any shape, at least 0."""
        at, first = np.unique(self.scores, return_index=True)
        known = np.interp(score, at, _surprises()[first])
        beyond = _KNOWN + (score - at[-1]) / (self.excess * np.log(10.0))
        return np.where(score > at[-1], beyond, known)


def _decay(values: NDArray[np.float64], cap: np.float64) -> float:
    """The mean of the exponential distribution that has the values' median and share at the cap.

    Where half of the values are at the cap, they do not tell it: the detector's highest score, 1,
    then has the highest surprise, 20.
    """
    median = np.median(values)
    if median >= cap:
        return float((1 - cap) / ((_MOST - _KNOWN) * np.log(10.0)))
    return float((cap - median) / np.log(0.5 / np.mean(values >= cap)))


def _surprises() -> NDArray[np.float64]:
    return np.linspace(0.0, _KNOWN, _KNOTS)


class Ensemble(EnsembleMethod):
    """The mean or the largest surprise of its detectors.

    Each detector's scores become surprises by healthy validation scans alone
    (:class:`SurpriseCurve`), so that methods of any scale can be averaged, and the anomaly map is
    the fused surprise over 20. A reconstruction scores by its positive residual here.
    """

    Params = EnsembleParams
    params: EnsembleParams
    curves_: NDArray[np.float64]

    @classmethod
    def resolve(cls, params: Any) -> Any:
        """Return the parameters, those of every member resolved by itself.

        Raises:
            UadBenchError: what members lack, all of it at once.
        """
        found, problems = {}, list[str]()
        for one in cls.members:
            name = member_field(one)
            try:
                found[name] = one.resolve(getattr(params, name))
            except UadBenchError as error:
                problems.append(f"member {one.info.name}: {error}")
        if problems:
            raise UadBenchError("; ".join(problems))
        return params.model_copy(update=found)

    def detectors(self, seed: int) -> Iterator[tuple[type[Method], Any, int]]:
        """Yield what is trained: method, parameters and seed of every detector."""
        for member in self.members:
            for number in range(self.params.seeds):
                own = getattr(self.params, member_field(member))
                yield member, own, seed * self.params.seeds + number

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train every member."""
        members, reports = [], []
        for method, params, seed in self.detectors(context.seed):
            member, own = method(params), _context(context, seed)
            reports.append(member.fit(train, validation, own))
            member.calibrate(validation, own)
            members.append(member)
        self.join(members)
        return FitReport(
            steps=sum(report.steps for report in reports),
            slices_seen=sum(report.slices_seen for report in reports),
        )

    def calibrate(
        self,
        validation: Slices,
        context: FitContext,  # noqa: ARG002
    ) -> tuple[str, ...]:
        """Count the scores of healthy validation voxels, by detector.

        Raises:
            UadBenchError: if there are too few.
        """
        brain = np.asarray(validation.brain)
        if int(brain.sum()) < _LEAST_VOXELS:
            raise UadBenchError(
                f"{self.info.name}: {int(brain.sum())} healthy validation voxels cannot say how "
                f"surprising a score is, and {_LEAST_VOXELS} are needed; add healthy people"
            )
        curves = []
        for member in self.joined:
            scores = [_scores(member, scan)[scan.brain] for scan in validation.scans()]
            curve = SurpriseCurve.of(np.concatenate(scores))
            curves.append([*curve.scores, curve.excess])
        self.curves_ = np.array(curves)
        return (f"{len(self.joined)} detectors, by {int(brain.sum())} healthy voxels",)

    def score(self, slices: Slices) -> FloatArray:
        """Return the fused surprise of one scan over 20, ``[N, 1, H, W]``, at most 1."""
        fuse = np.add if self.params.fusion == "mean" else np.maximum
        fused = np.zeros(slices.image.shape)
        for member, curve in zip(self.joined, self.curves_, strict=True):
            fuse(fused, SurpriseCurve(curve[:-1], curve[-1])(_scores(member, slices)), out=fused)
        if self.params.fusion == "mean":
            fused /= len(self.joined)
        inside = np.where(slices.brain, (fused / _MOST).clip(0.0, 1.0), 0.0)
        return np.asarray(inside, dtype=np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the curves, and the state of every detector."""
        arrays = super().state()
        for number, member in enumerate(self.joined):
            arrays |= {f"{number}/{name}": array for name, array in member.state().items()}
        return arrays

    def load(self, state: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        """Restore the curves, and every detector."""
        super().load({name: array for name, array in state.items() if "/" not in name}, device)
        members = []
        for number, (method, params, _) in enumerate(self.detectors(0)):
            start, member = f"{number}/", method(params)
            own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            member.load(own, device)
            members.append(member)
        self.join(members)


def _context(context: FitContext, seed: int) -> FitContext:
    """The same for another seed; steps of several trainings are not counted together."""
    return FitContext(seed, context.device, context.tissue_prior)


def _scores(method: Method, slices: Slices) -> FloatArray:
    """What a member makes of one scan, ``[N, 1, H, W]``."""
    if isinstance(method, ReconstructionMethod) and method.scores_by_residual:
        return np.asarray(np.maximum(slices.image - method.reconstruct(slices), 0), np.float32)
    return method.score(slices)
