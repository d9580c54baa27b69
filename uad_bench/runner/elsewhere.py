"""Cells of anomaly maps that were made elsewhere: scored as a detector's own, and marked."""

from __future__ import annotations

from collections.abc import Sequence

from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig
from uad_bench.runner.detectors.map_files import MadeElsewhere
from uad_bench.runner.events import Listener, told
from uad_bench.runner.jobs.cells import Evaluated
from uad_bench.runner.jobs.perform import last_result
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.pictures import Pictures
from uad_bench.runner.plan.maps import plan_maps
from uad_bench.runner.run import Outcome
from uad_bench.runner.store import CellStore


def evaluate_maps(
    maps: MadeElsewhere, config: RunConfig, registry: Registry, listeners: Sequence[Listener] = ()
) -> Outcome:
    """Score maps under every protocol and post-processing, and write the cells.

    Every map is read and checked before anything is written.

    Args:
        maps: what was made elsewhere.
        config: the dataset, and how it is prepared and scored.
        registry: the datasets, protocols and post-processings.
        listeners: told about every step and every cell.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    plan = plan_maps(maps, config, registry)
    results, tell = ResultsFolder(config.results), told(listeners)
    pictures = Pictures(results, tell)
    everyone = told([pictures, tell])
    setting = Setting(config, CellStore.of(plan, everyone), "cpu", None, everyone)
    with results.lock():
        found = last_result(plan.jobs(), setting, Evaluated)
        pictures.draw_left()  # of an evaluation that was killed
    return Outcome(found.records, found.computed)
