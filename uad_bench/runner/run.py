"""A run from its settings to its cells: the one way in, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Sequence

from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.events import Listener, Noted, told
from uad_bench.runner.execute import Outcome, execute
from uad_bench.runner.listeners import Mlflow, pictures
from uad_bench.runner.plan import make_plan


def run(
    config: RunConfig,
    registry: Registry,
    listeners: Sequence[Listener] = (),
    *,
    command: str = "the same call in Python",
) -> Outcome:
    """Tune, train and evaluate; finished cells are kept, and the same call goes on with the rest.

    Args:
        config: what to run.
        registry: the methods and datasets.
        listeners: told about every step and every cell; none changes a number.
        command: how to go on, for ``status``.

    Returns:
        Every cell of the plan, those from earlier runs included.

    Raises:
        UadBenchError: what was asked cannot be, the data cannot be used, the results folder holds
            these cells from other data, or the disk is full; finished cells stay.
    """
    device = resolve_device(config.device)
    plan = make_plan(config, registry, device)
    results = ResultsFolder(config.results)
    tell = told(listeners)
    for note in plan.notes:
        tell(Noted(note))
    with results.lock():
        mlflow = Mlflow(results, tell) if config.mlflow else None
        recorders = (pictures(results), *((mlflow,) if mlflow is not None else ()))
        outcome = execute(plan, results, device, told((*recorders, tell)), command=command)
        if mlflow is not None:
            mlflow.finish()
    return outcome
