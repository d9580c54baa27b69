"""Preparing: the data of a run, found fit for it before anything is written to its results."""

from __future__ import annotations

from uad_bench.runner.data.atlas import refuse_leaks
from uad_bench.runner.data.gather import Data, gather
from uad_bench.runner.data.readiness import large_batches, refuse
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.plan.job import Prepare


def prepare(job: Prepare, setting: Setting) -> Data:
    """Simulate and prepare every dataset.

    Raises:
        UadBenchError: the data cannot be used, or do not fit what is trained on them.
    """
    data = gather(setting.config, job.sources, setting.tell)
    if setting.atlas is not None:
        refuse_leaks(setting.atlas, data, job.sources.training.label)
    refuse(large_batches(data.training, job.trained))
    return data
