"""Tuning: what ``uad-bench tune`` and ``uad_bench.tune`` do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from uad_bench.errors import UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig, load_config
from uad_bench.runner.events import Listener
from uad_bench.runner.settings import OF_TUNING
from uad_bench.study_record import StudyRecord, stored_studies
from uad_bench.system.disk import write_whole

if TYPE_CHECKING:
    from uad_bench.runner.tuning import Studies

TUNING_PAGE = "tuning.html"


def tune(
    methods: str | Sequence[str],
    *,
    config: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> tuple[StudyRecord, ...]:
    """Tune methods on healthy validation scans, as ``uad-bench tune`` does.

    A ``run`` with the same settings and results folder takes what is found. Trials that ended are
    kept: the same call goes on where an interrupted one stopped.

    Args:
        methods: method names, as a list or with commas.
        config: a YAML file with settings; arguments win over it.
        progress: whether to tell on stderr what is going on.
        settings: flags of ``uad-bench tune``, in snake_case, such as ``trials=40``,
            ``objective="ssim"``, ``sampler="grid"``, ``storage``, ``data_root`` or ``results``.

    Returns:
        The record of each study: its trials, the Pareto front, what was chosen and why.

    Raises:
        UadBenchError: in one line, what cannot be, before any work where it can be known; or whose
            tuning failed and why, once all others are done.

    Examples:
        >>> import uad_bench as ub
        >>> study, = ub.tune(
        ...     "spa", trials=2, data_root="data", param={"spa.steps": 8, "spa.width": 2},
        ...     progress=False,
        ... )
        >>> len(study.trials), sorted(study.params)
        (2, ['beta', 'snr'])
    """
    if unfit := sorted((RunConfig.model_fields.keys() - set(OF_TUNING)) & settings.keys()):
        raise UadBenchError(f"tune: {', '.join(unfit)} is for run; tune evaluates nothing")
    file = None if config is None else Path(config)
    chosen = load_config(file, {"methods": methods, **settings, "tune": True}, in_python=True)
    with ExitStack() as stack:
        console = Console(stderr=True, force_jupyter=False)
        shown = [stack.enter_context(LiveProgress(console))] if progress else []
        found = search(chosen, shown)
    if found.failed:
        raise UadBenchError("; ".join(found.failed))
    return found.done


def search(config: RunConfig, listeners: Sequence[Listener]) -> Studies:
    """Do the studies of a run, and write their page.

    Args:
        config: the run.
        listeners: told about every step.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    # Heavy imports wait until the settings are known to be right.
    from uad_bench.runner.tuning import tune as tune_methods

    found = tune_methods(config, open_registry(config.plugin), listeners)
    write_tuning_page(config.results)
    return found


def write_tuning_page(root: Path, folder: Path | None = None) -> Path | None:
    """Write the page of all studies of a results folder, and return it; none without any.

    Args:
        root: the results folder.
        folder: where the page goes; the results folder if not given.
    """
    from uad_bench.report.page.tuning import tuning_page

    studies = stored_studies(ResultsFolder(root).tuning)
    if not studies:
        return None
    file = (root if folder is None else folder) / TUNING_PAGE
    write_whole(file, tuning_page(studies, root.absolute().name).encode())
    return file
