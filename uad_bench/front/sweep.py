"""A sweep over one parameter: what ``uad-bench sweep`` and ``uad_bench.sweep`` do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from uad_bench.errors import UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig, load_config
from uad_bench.runner.events import Listener
from uad_bench.runner.settings import OF_SWEEPS
from uad_bench.system.yaml_files import Written

if TYPE_CHECKING:
    from uad_bench.report.figures.sweep import Sweep


def sweep(
    swept: str,
    values: str | Iterable[Any] | None = None,
    *,
    config: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Sweep:
    """Train a method once per value of one parameter, as ``uad-bench sweep`` does.

    The detectors are measured on healthy people; nothing here looks at lesions. They are kept: the
    same call goes on where an interrupted one stopped. A training that fails stops no other;
    ``Sweep.failed`` names it. ``sweep.csv``, ``sweep.png`` and ``sweep.npz`` are written to the
    folder ``sweeps`` of the results.

    Args:
        swept: the parameter, as ``spa.beta``.
        values: its values, as a list or with commas. If not given, a number is swept over its
            search range, and a switch or a choice over all that it has.
        config: a YAML file with settings; arguments win over it.
        progress: whether to tell on stderr what is going on.
        settings: flags of ``uad-bench sweep``, in snake_case, such as ``seeds=[0, 1]``,
            ``param={"spa.steps": 200}``, ``data_root``, ``results``, or where the trainings run:
            ``jobs=2``, ``scheduler`` or ``cluster``.

    Returns:
        Every training with its measures: L1, KL, SSIM and, of a method with tissue maps, their
        Dice; ``to_frame`` makes a table of them.

    Raises:
        UadBenchError: in one line, what cannot be; before any work where it can be known.

    Examples:
        >>> import uad_bench as ub
        >>> swept = ub.sweep(
        ...     "spa.beta", [0, 1e-3], data_root="data", param={"spa.steps": 2, "spa.width": 2},
        ...     progress=False,
        ... )
        >>> swept
        SPA: sweep of beta (simulated), 2 trainings
        >>> swept.to_frame()[["value", "seed", "state"]]
           value  seed state
        0  0.000     0  done
        1  0.001     0  done
    """
    if unfit := sorted((RunConfig.model_fields.keys() - set(OF_SWEEPS)) & settings.keys()):
        raise UadBenchError(f"sweep: {', '.join(unfit)} is for run; a sweep trains one method")
    method, name = parameter_of(swept)
    file = None if config is None else Path(config)
    chosen = load_config(file, {**settings, "methods": method}, in_python=True)
    if not progress:
        return compute(chosen, name, values, ())
    with LiveProgress(Console(stderr=True, force_jupyter=False)) as shown:
        return compute(chosen, name, values, (shown,))


def parameter_of(swept: str) -> tuple[str, str]:
    """Return the method and the parameter that METHOD.NAME names.

    Raises:
        UadBenchError: it is not written so.
    """
    method, _, name = swept.partition(".")
    if not method or not name:
        raise UadBenchError(f"{swept}: write METHOD.NAME, such as spa.beta")
    return method, name


def compute(
    config: RunConfig,
    param: str,
    values: str | Iterable[Any] | None,
    listeners: Sequence[Listener],
) -> Sweep:
    """Do what is left of a sweep, and write its table and its picture.

    Args:
        config: names the method, and holds its other parameters.
        param: the parameter.
        values: its values; see :func:`sweep`.
        listeners: told about every step.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    # Heavy imports wait until the settings are known to be right.
    from uad_bench.runner.place import device_of
    from uad_bench.runner.plan.sweep import plan_sweep
    from uad_bench.runner.sweep import run_sweep, write_sweep

    plan = plan_sweep(config, param, _listed(values), open_registry(config.plugin))
    done = run_sweep(plan, device_of(config), listeners)
    write_sweep(done, ResultsFolder(config.results))
    return done


def _listed(values: str | Iterable[Any] | None) -> list[Any] | None:
    """The values one by one; those with commas are read as a YAML file would be."""
    if values is None:
        return None
    if isinstance(values, str):
        return [Written(part.strip()) for part in values.split(",") if part.strip()]
    return list(values) if isinstance(values, Iterable) else [values]
