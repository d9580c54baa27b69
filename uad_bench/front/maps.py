"""Anomaly maps in files that another program made: what ``uad-bench evaluate`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from uad_bench.errors import UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.front.results import Results
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.config import RunConfig, load_settings
from uad_bench.runner.events import Listener
from uad_bench.runner.settings import OF_MAPS


def evaluate_folder(
    folder: str | Path,
    dataset: str,
    name: str,
    *,
    healthy: str | Path | None = None,
    supervised: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Results:
    """Score anomaly maps in NIfTI files that another program made, as ``uad-bench evaluate`` does.

    The cells are in the results folder beside those of detectors, marked as made elsewhere. The
    protocols, post-processings and thresholds are those of a run.

    Args:
        folder: holds one map per test scan, ``NAME.nii.gz``, called like the scan in ``uad-bench
            data DATASET``: subject, or subject and session. A map is in [0, 1], higher where more
            anomalous, on the scan's own grid or on the prepared one.
        dataset: the dataset, as in ``run``.
        name: what tables call the method.
        healthy: holds the maps of the healthy validation scans of the training dataset, from which
            thresholds come; the folder ``healthy`` in ``folder`` if not given and there. Without
            them, metrics that need a threshold have no value.
        supervised: whether the method saw lesion masks in training.
        progress: whether to tell on stderr what is going on.
        settings: flags of ``uad-bench evaluate``, in snake_case, with the meaning that they have in
            ``run``: ``data_root``, ``train``, ``protocol``, ``postprocessing``, ``space``,
            ``recipe``, ``template``, ``tissues``, ``lesion_pattern``, ``mask_shift``,
            ``phantoms``, ``anatomies``, ``limit``, ``results``, ``cache``, ``jobs``, ``overwrite``,
            ``plugin``.

    Returns:
        The cells.

    Raises:
        UadBenchError: in one line, what cannot be; nothing is written then.

    Example:
        >>> import uad_bench as ub
        >>> results = ub.evaluate_folder(
        ...     "maps", "mslub", "Ours", data_root="data", results="scored", progress=False
        ... )
        >>> results.table("auprc")
        All data but what methods with ¶ learned from are simulated. ...
        AUPRC ↑
         Dataset             Ours¶   Ours*¶   Prevalence
        ...
    """
    unknown = [key for key in settings if key not in OF_MAPS]
    if unknown:
        raise UadBenchError(f"{unknown[0]}: unknown argument; known: {', '.join(OF_MAPS)}")
    config = load_settings({**settings, "datasets": dataset}, in_python=True)
    place = None if healthy is None else Path(healthy)
    if not progress:
        return score(Path(folder), name, place, config, (), supervised=supervised)
    with LiveProgress(Console(stderr=True, force_jupyter=False)) as shown:
        return score(Path(folder), name, place, config, (shown,), supervised=supervised)


def score(
    folder: Path,
    name: str,
    healthy: Path | None,
    config: RunConfig,
    listeners: Sequence[Listener],
    *,
    supervised: bool,
) -> Results:
    """Score the maps of a folder.

    Args:
        folder: the maps.
        name: what tables call the method.
        healthy: the maps of healthy validation scans; those in ``folder`` if not given.
        config: the dataset, and how it is prepared and scored.
        listeners: told about every step and every cell.
        supervised: whether the method saw lesion masks.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    # Heavy imports wait until the settings are known to be right.
    from uad_bench.runner.detectors.map_files import HEALTHY, MadeElsewhere
    from uad_bench.runner.elsewhere import evaluate_maps

    title = " ".join(name.split())
    if not title:
        raise UadBenchError("--name: names nothing; say what tables call the method")
    if healthy is None and (folder / HEALTHY).is_dir():
        healthy = folder / HEALTHY
    maps = MadeElsewhere(folder.expanduser(), title, healthy, supervised)
    done = evaluate_maps(maps, config, open_registry(config.plugin), listeners)
    return Results(config.results, done.records, done.computed, config.plugin)
