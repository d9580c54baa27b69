"""A whole run: what ``uad-bench run`` and ``uad_bench.run`` do."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from rich.console import Console

from uad_bench.front.progress import LiveProgress
from uad_bench.front.results import Results
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder, in_order_of_run
from uad_bench.runner.config import RunConfig, load_config
from uad_bench.runner.events import Listener


def run(
    methods: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    *,
    config: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Results:
    """Tune, train and evaluate detectors on every dataset, as ``uad-bench run`` does.

    Finished cells are kept: the same call goes on where an interrupted one stopped. A failing
    method stops nobody but itself; ``Results.failed`` names it. Nothing is printed on stdout.

    Args:
        methods: method names, as a list or with commas.
        datasets: dataset names, ``bids:PATH``, or ``all``, which is the default.
        config: a YAML file with settings; arguments win over it.
        progress: whether to tell on stderr what is going on.
        settings: every other flag of ``uad-bench run``, in snake_case, such as ``data_root``,
            ``train``, ``seeds=[0, 1]``, ``param={"spa.steps": 200}``, ``protocol="strict,paper"``,
            ``results``, ``cache``, ``device`` or ``overwrite="all"``. ``uad-bench run --help`` says
            what each means. Without ``data_root`` everything runs on simulated datasets.

    Returns:
        The cells of this run, those that were finished before included.

    Raises:
        UadBenchError: in one line, what cannot be; before any work where it can be known.

    Examples:
        >>> import uad_bench as ub
        >>> results = ub.run(
        ...     "thresholding", "mslub", data_root="data", controls=(), mlflow=False, progress=False
        ... )
        >>> results.table("auprc")
        All data are simulated. ...
        AUPRC ↑
         Dataset             Thresh.   Thresh.*   Prevalence
        ...
    """
    given = {"methods": methods, "datasets": datasets, **settings}
    said = {name: value for name, value in given.items() if value is not None}
    chosen = load_config(None if config is None else Path(config), said, in_python=True)
    if config is not None:
        said = {**said, "config": str(config)}
    same = {name: value for name, value in said.items() if (name, value) != ("overwrite", "all")}
    command = f"uad_bench.run({', '.join(f'{name}={value!r}' for name, value in same.items())})"
    if not progress:
        return compute(chosen, (), command=command)
    with LiveProgress(Console(stderr=True, force_jupyter=False)) as shown:
        return compute(chosen, (shown,), command=command)


def _signature() -> Signature:
    """The signature of ``run`` with every setting by name, which notebooks show and complete."""
    settings = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=field.get_default())
        for name, field in RunConfig.model_fields.items()
        if name not in ("methods", "datasets")
    ]
    plain = Signature.from_callable(run)
    own = [one for one in plain.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
    return plain.replace(parameters=[*own, *settings])


run.__signature__ = _signature()  # type: ignore[attr-defined]


def compute(config: RunConfig, listeners: Sequence[Listener], *, command: str) -> Results:
    """Do what is left of a run.

    Args:
        config: the run.
        listeners: told about every step and every cell.
        command: how to go on, for ``status``.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    # Heavy imports wait until the settings are known to be right.
    from uad_bench.runner.run import run as run_jobs

    done = run_jobs(config, open_registry(config.plugin), listeners, command=command)
    records = in_order_of_run(done.records, ResultsFolder(config.results))
    return Results(config.results, records, done.computed, config.plugin)
