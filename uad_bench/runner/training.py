"""Training one detector, without evaluating it: what ``fit`` and ``predict -m`` do."""

from __future__ import annotations

from pathlib import Path

from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.events import Listener, Noted
from uad_bench.runner.jobs.perform import last_result
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.train import Trained
from uad_bench.runner.plan.make import plan_training
from uad_bench.runner.store import CellStore


def train(config: RunConfig, registry: Registry, tell: Listener) -> Path:
    """Train the first method of a run, or find it trained, and return its detector's folder.

    It is the detector that the same run would train, with its first seed.

    Args:
        config: the run.
        registry: the methods and datasets.
        tell: told about every step.

    Raises:
        UadBenchError: what was asked cannot be, or the data cannot be used.
    """
    plan = plan_training(config, registry)
    device = resolve_device(config.device, config.said("device", config.device))
    for note in plan.notes:
        tell(Noted(note))
    store = CellStore.of(plan, tell)
    setting = Setting(config, store, device, plan.atlas, tell)
    with store.results.lock():
        trained = last_result(plan.jobs(), setting, Trained)
    assert trained.detector is not None  # it is wanted for its own sake
    return store.results.detectors / trained.detector
