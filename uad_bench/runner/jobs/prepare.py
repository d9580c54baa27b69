"""Finding, preparing and checking data: what everything else needs."""

from __future__ import annotations

from uad_bench.runner.data.atlas import refuse_leaks
from uad_bench.runner.data.gather import Data, Orders, find_files, prepare_one, put_together
from uad_bench.runner.data.readiness import large_batches, refuse
from uad_bench.runner.executor import Done
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.plan.job import CheckData, FindFiles, Prepare
from uad_bench.volumes.store.prepared import PreparedDataset


def find(job: FindFiles, _: Done, setting: Setting) -> Orders:
    """Simulate what is simulated, and take the order of every dataset.

    Raises:
        UadBenchError: files that contradict one another, or do not fit together.
    """
    return find_files(setting.config, job.training, job.evaluated, setting.tell)


def prepare(job: Prepare, done: Done, setting: Setting) -> PreparedDataset:
    """Prepare one dataset, or take it from the cache.

    Raises:
        UadBenchError: none of its scans can be used.
    """
    orders = done.of(job.files, Orders)
    if job.label is not None:
        order, role = orders.evaluated[job.label], "dataset"
    else:
        assert orders.training is not None
        order, role = orders.training, "training dataset"
    return prepare_one(setting.config, job.source, order, role, setting.tell)


def check_data(job: CheckData, done: Done, setting: Setting) -> Data:
    """Check the prepared datasets against one another, the atlas, and what is trained on them.

    Raises:
        UadBenchError: they do not fit together.
    """
    label = job.training.source.label
    training = done.of(job.training, PreparedDataset)
    evaluated = {one.source.label: done.of(one, PreparedDataset) for one in job.evaluated}
    data = put_together(setting.config, label, training, evaluated)
    if setting.atlas is not None:
        refuse_leaks(setting.atlas, data, label)
    refuse(large_batches(training, job.batches))
    return data
