"""The values of a sweep are those of its parameter, in order."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from uad_bench.method import MethodInfo, Params, ReconstructionMethod, tunable
from uad_bench.runner.plan.sweep import plan_sweep


class _Any(ReconstructionMethod):
    """Parameters of every kind."""

    class Params(Params):
        beta: float = tunable(1e-5, 1e-5, 1e-2, log=True, ge=0.0)
        snr: float = tunable(16.0, 4.0, 64.0, log=True)
        share: float = tunable(0.5, 0.0, 1.0)
        count: int = tunable(2, 1, 8)
        maybe: float | None = Field(default=None, gt=0.0)
        clean: bool = False
        kind: Literal["none", "noise"] = "none"

    info = MethodInfo("any", "Any")


class _Registry:
    def method(self, name: str) -> type[_Any]:
        return _Any


def planned(param: str, values: list[object] | None, monkeypatch: pytest.MonkeyPatch):
    from uad_bench.runner.config import RunConfig
    from uad_bench.runner.plan import sweep as sweep_plan

    monkeypatch.setattr(sweep_plan, "find_training", lambda config, registry: object())
    monkeypatch.setattr(sweep_plan, "unfit_data", lambda config, sources: ())
    return plan_sweep(RunConfig(methods=("any",)), param, values, _Registry())


@pytest.mark.parametrize(
    ("param", "values", "expected", "log"),
    [
        ("beta", None, [1e-5, 1e-4, 1e-3, 1e-2], True),
        ("snr", None, [4, 8, 16, 32, 64], True),
        ("share", None, [0, 0.25, 0.5, 0.75, 1], False),
        ("count", None, [1, 3, 4, 6, 8], False),
        ("clean", None, [False, True], False),
        ("kind", None, ["none", "noise"], False),
        ("kind", ["noise", "none"], ["noise", "none"], False),
        ("beta", ["1e-3", 0, 1e-3], [0, 1e-3], True),
        ("maybe", [1, 100], [1, 100], True),
        ("maybe", [1, 2], [1, 2], False),
    ],
)
def test_values_are_those_of_the_parameter_in_order(param, values, expected, log, monkeypatch):
    plan = planned(param, values, monkeypatch)
    assert list(plan.values) == expected
    assert plan.log is log
    assert [getattr(params, param) for params in plan.values.values()] == expected
