"""A prepared dataset: the slices of every scan. What ``prepare`` gives."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from rich.console import Console

from uad_bench.errors import UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.plugins.registry import open_registry, split_dataset
from uad_bench.runner.config import load_settings
from uad_bench.runner.settings import DataSettings, StoreSettings
from uad_bench.volumes.store.prepared import PreparedDataset

_OF_DATA = (DataSettings.model_fields.keys() | StoreSettings.model_fields.keys()) - {"train"}


def prepare(dataset: str, *, progress: bool = True, **settings: Any) -> PreparedDataset:
    """Bring every scan of a dataset to slices, as a run does, or find them in the cache.

    A dataset that is not in ``data_root`` is simulated where there is no ``data_root``.

    Args:
        dataset: its name, or ``bids:PATH``.
        progress: whether to tell on stderr what is going on.
        settings: flags of ``uad-bench run`` about data, in snake_case: ``data_root``, ``recipe``,
            ``template``, ``tissues``, ``lesion_pattern``, ``mask_shift``, ``limit``,
            ``phantoms``, ``anatomies``, ``cache``, ``jobs`` and ``plugin``.

    Returns:
        The scans, and arrays that are read when they are asked for.

    Raises:
        UadBenchError: in one line, what cannot be.

    Examples:
        >>> import uad_bench as ub
        >>> patients = ub.prepare("mslub", data_root="data", progress=False)
        >>> [scan.subject for scan in patients.scans]
        ['patient11', 'patient12', 'patient13']
        >>> first = patients.scans[0]
        >>> patients.slices(first).image.shape[1:], patients.slices(first).spacing
        ((1, 128, 128), (2.0, 1.5, 1.5))
        >>> int(patients.lesion(first).max())
        1
    """
    if unfit := sorted(settings.keys() - _OF_DATA):
        raise UadBenchError(
            f"prepare: {', '.join(unfit)}: unknown argument; known: {', '.join(sorted(_OF_DATA))}"
        )
    said = {"datasets": dataset, "train": dataset, **settings}
    config = load_settings(said, in_python=True)
    # Heavy imports wait until the settings are known to be right.
    from uad_bench.runner.data.gather import find_files, prepare_one
    from uad_bench.runner.data.sources import find_evaluated, find_training

    registry = open_registry(config.plugin)
    is_healthy = registry.dataset(split_dataset(dataset)[0])().info.disease == "healthy"
    with ExitStack() as stack:
        shown = LiveProgress(Console(stderr=True, force_jupyter=False))
        tell = stack.enter_context(shown) if progress else lambda _: None
        if is_healthy:
            source = find_training(config, registry)
            order = find_files(config, source, (), tell).training
            assert order is not None
        else:
            source = find_evaluated(dataset, config, registry)
            order = find_files(config, None, (source,), tell).evaluated[source.label]
        return prepare_one(config, source, order, "dataset", tell)
