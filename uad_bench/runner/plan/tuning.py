"""What stands against a tuning, known before any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from uad_bench.errors import UadBenchError
from uad_bench.method import Method, ReconstructionMethod
from uad_bench.runner.config import RunConfig
from uad_bench.runner.detectors.tuning import studied


def tuning_faults(config: RunConfig, tuned: Sequence[type[Method]]) -> Iterator[str]:
    """Say which methods an objective is not for, and why the storage cannot be used.

    Args:
        config: the run.
        tuned: the methods that are tuned.
    """
    if not tuned:
        return
    if config.objective == "ssim":
        bases = dict.fromkeys(base for one in tuned for base in studied(one))
        for base in bases:
            if not issubclass(base, ReconstructionMethod):
                yield (
                    f"{config.said('objective', 'ssim')}: {base.info.name} makes no "
                    "reconstruction; tune it by reconstruction or painted"
                )
    if config.storage is not None:
        from uad_bench.tuning.storage import Database

        try:
            Database(config.storage.get_secret_value()).refuse_unreachable()
        except UadBenchError as error:
            yield str(error)
