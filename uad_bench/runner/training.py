"""Training one detector, without evaluating it: what ``fit`` and ``predict -m`` do."""

from __future__ import annotations

from pathlib import Path

from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.atlas import refuse_leaks
from uad_bench.runner.data.gather import gather
from uad_bench.runner.data.readiness import large_batches, refuse
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.events import Listener, Noted
from uad_bench.runner.plan.plan import plan_training


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
    device = resolve_device(config.device)
    plan = plan_training(config, registry, device)
    results = ResultsFolder(config.results)
    for note in plan.notes:
        tell(Noted(note))
    (planned,) = plan.methods
    with results.lock():
        data = gather(config, plan.sources, tell)
        if plan.atlas is not None:
            refuse_leaks(plan.atlas, data, plan.sources.training.label)
        refuse(large_batches(data.training, [(planned.method.info.name, planned.params)]))
        trainer = Trainer(data.training, results, config, device, tell, plan.atlas)
        params, tuned = planned.params, None
        if planned.tuned:
            params, tuned = trainer.tune(planned.method, planned.params)
        detector, fit = trainer.detector(planned.method, params, planned.seeds[0], tuned)
        trainer.validation(detector, fit, plan.postprocessings)
    return results.detectors / fit.detector
