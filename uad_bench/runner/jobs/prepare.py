"""Preparing: the data of a run, found fit for it before anything is written to its results."""

from __future__ import annotations

from uad_bench.runner.atlas import refuse_leaks
from uad_bench.runner.data import Data, gather
from uad_bench.runner.job import Prepare
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.readiness import large_batches, refuse


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
