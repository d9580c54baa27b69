"""What methods cost: seconds of a step and of a slice, from earlier cells or from a probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from uad_bench.cells import CellRecord, short_hash
from uad_bench.method import Method, Params, member_field, members_of, search_space
from uad_bench.runner.detectors.trainings import trainings


def cost_key(method: type[Method], params: Params) -> str:
    """What the cost of a step and of a slice depends on: neither steps nor what tuning chooses."""
    return f"{method.info.name}-{short_hash(_costly(method, params))}"


def _costly(method: type[Method], params: Params) -> dict[str, Any]:
    """The parameters, as plain values, that a cost depends on."""
    found = params.model_dump(mode="json", exclude={"steps", *search_space(type(params))})
    for member in members_of(method):
        name = member_field(member)
        found[name] = _costly(member, getattr(params, name))
    return found


def units(params: Params, slices: int) -> int:
    """In how many parts a training is counted: steps, or training slices where it has none."""
    return int(getattr(params, "steps", slices))


@dataclass(frozen=True, slots=True)
class Costs:
    """What is known of the costs of methods, by :func:`cost_key`.

    Attributes:
        unit_s: seconds of a step of a training, or of a training slice where there are no steps.
        slice_s: seconds to score a slice and to evaluate its scores.
        memory_mb: the most that a process took so far, in megabytes.
    """

    unit_s: dict[str, float] = field(default_factory=dict)
    slice_s: dict[str, float] = field(default_factory=dict)
    memory_mb: float = 0.0

    def __or__(self, other: Costs) -> Costs:
        """What both know; the other's word counts."""
        return Costs(
            self.unit_s | other.unit_s,
            self.slice_s | other.slice_s,
            max(self.memory_mb, other.memory_mb),
        )


def costs_of_cells(
    records: Iterable[CellRecord], methods: Mapping[str, type[Method]], device: str
) -> Costs:
    """Return what finished cells cost on a device.

    Args:
        records: the cells.
        methods: those of the run, by name.
        device: as cells describe it, such as ``cpu (x86_64, 2 threads)``.
    """
    found = Costs()
    spent: dict[tuple[str, str, str], tuple[float, int]] = {}
    memory = 0.0
    for record in records:
        method, fit = methods.get(record.spec.method), record.fit
        if method is None or fit is None or record.data is None:
            continue
        if record.environment.device != device:
            continue
        try:
            params = method.Params.model_validate(record.spec.params)
        except ValidationError:  # of another version of the method
            continue
        memory = max(memory, record.environment.peak_memory_mb)
        (root, own, _), *others = trainings(method, params, record.spec.seed)
        if not others:
            found.unit_s[cost_key(root, own)] = fit.wall_s / max(1, fit.steps or fit.slices_seen)
        # The cells of one evaluation are written one by one, and time it from its beginning.
        one = (cost_key(method, params), fit.detector, record.spec.dataset)
        seconds, _ = spent.get(one, (0.0, 0))
        spent[one] = max(seconds, record.environment.wall_s), record.data.slices
    for key in {key for key, *_ in spent}:
        some = [value for (name, *_), value in spent.items() if name == key]
        found.slice_s[key] = sum(wall for wall, _ in some) / max(1, sum(n for _, n in some))
    return Costs(found.unit_s, found.slice_s, memory)
