"""Finding, preparing and checking data: what everything else needs."""

from __future__ import annotations

from uad_bench.runner.data.atlas import refuse_leaks
from uad_bench.runner.data.gather import Data, Orders, find_files, prepare_one, put_together
from uad_bench.runner.data.readiness import large_batches, refuse
from uad_bench.runner.executors.contract import Done
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.plan.job import CheckData, FindFiles, Prepare
from uad_bench.volumes.store.prepared import PreparedDataset


def find(job: FindFiles, _: Done, setting: Setting) -> Orders:
    """Simulate what is simulated, and take the order of every dataset.

    Raises:
        UadBenchError: files that contradict one another, or do not fit together.
    """
    return find_files(
        setting.config, job.training, job.evaluated, setting.tell, supervised=job.supervised
    )


def prepare(job: Prepare, done: Done, setting: Setting) -> PreparedDataset:
    """Prepare one dataset, or take it from the cache.

    Raises:
        UadBenchError: none of its scans can be used.
    """
    orders = done.of(job.files, Orders)
    label = job.source.label
    order = {
        "training dataset": orders.training,
        "dataset": orders.evaluated.get(label),
        "supervised training dataset": orders.supervised.get(label),
    }[job.role]
    assert order is not None
    return prepare_one(setting.config, job.source, order, job.role, setting.tell)


def check_data(job: CheckData, done: Done, setting: Setting) -> Data:
    """Check the prepared datasets against one another, the atlas, and what is trained on them.

    Raises:
        UadBenchError: they do not fit together.
    """
    label = job.training.source.label
    training = done.of(job.training, PreparedDataset)
    evaluated, supervised = (
        {one.source.label: done.of(one, PreparedDataset) for one in some}
        for some in (job.evaluated, job.supervised)
    )
    data = put_together(setting.config, label, training, evaluated, supervised)
    if setting.atlas is not None:
        refuse_leaks(setting.atlas, data, label, said=setting.config.said("atlas"))
    refuse(large_batches(data, job.batches))
    return data
