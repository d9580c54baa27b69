"""The trainings that a detector is made from."""

from __future__ import annotations

from collections.abc import Iterator

from uad_bench.method import EnsembleMethod, Method, Params
from uad_bench.runner.detectors.params import shared_params

Training = tuple[type[Method], Params, int]
"""What one training is of: method, parameters and seed."""


def trainings(method: type[Method], params: Params, seed: int) -> Iterator[Training]:
    """Yield the trainings behind a detector: its own, that which it shares, or its members'."""
    if issubclass(method, EnsembleMethod):
        for member in method(params).detectors(seed):
            yield from trainings(*member)
    elif method.trained_as is not None:
        yield from trainings(method.trained_as, shared_params(method.trained_as, params), seed)
    else:
        yield method, params, seed


def batch_sizes(method: type[Method], params: Params) -> Iterator[tuple[str, int]]:
    """Yield how many slices a step takes, 0 without steps, and the method whose parameter it is.

    Of an ensemble, each member says it.
    """
    if issubclass(method, EnsembleMethod):
        for member, own, _ in method(params).detectors(0):
            yield from batch_sizes(member, own)
    else:
        yield method.info.name, getattr(params, "batch_size", 0)
