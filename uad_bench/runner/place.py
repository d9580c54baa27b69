"""Where the jobs of a run run, by its settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import PluginSources
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.executors.cluster_file import read_cluster_file
from uad_bench.runner.executors.contract import Divide, Executor, undivided
from uad_bench.runner.executors.local import LocalExecutor
from uad_bench.system.extras import install_command, is_installed
from uad_bench.system.machine import cores
from uad_bench.system.threads import asked_threads


def is_elsewhere(config: RunConfig) -> bool:
    """Whether jobs run on other machines than this one."""
    return config.scheduler is not None or config.cluster is not None


def device_of(config: RunConfig) -> str:
    """Return the torch device that jobs use.

    On other machines it is what was asked for, which each worker checks; ``auto`` is the CPU there.

    Raises:
        UadBenchError: torch does not know it, or this machine, if it is used, does not have it.
    """
    if not is_elsewhere(config):
        device = resolve_device(config.device, config.said("device", config.device))
        is_shared = local_workers(config) > 1 and device.startswith("cuda")
        return "cuda:0" if is_shared else device  # a worker sees one GPU, its own
    if config.device == "auto":
        return "cpu"
    import torch

    try:
        return str(torch.device(config.device))
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise UadBenchError(f"{config.said('device', config.device)}: {first}") from None


def local_workers(config: RunConfig) -> int:
    """Return how many processes of this machine do jobs: as many as asked for, and cores hold."""
    return min(config.jobs or 1, cores())


def unfit_place(config: RunConfig) -> Iterator[str]:
    """Yield what is wrong with where the jobs are to run; nothing is started."""
    several = config.jobs is not None and config.jobs > 1
    given = {
        "jobs": str(config.jobs) if several else None,
        "scheduler": config.scheduler,
        "cluster": config.cluster,
    }
    said = [config.said(name, value) for name, value in given.items() if value is not None]
    if len(said) > 1:
        yield f"{' and '.join(said)}: each says where jobs run; keep one"
    packages = ["distributed"] if said else []
    packages += ["dask-jobqueue"] if config.cluster is not None else []
    if absent := [name for name in packages if not is_installed(name)]:
        yield (
            f"{' and '.join(said)}: {', '.join(absent)} is not installed; get it with "
            f"{install_command('distributed')}"
        )
        return
    if config.scheduler is not None and len(said) == 1:
        from uad_bench.runner.executors.pools import refuse_unreachable

        try:
            refuse_unreachable(config.scheduler, said=config.said("scheduler", config.scheduler))
        except UadBenchError as error:
            yield str(error)
    if config.cluster is not None:
        try:
            file = read_cluster_file(config.cluster, said=config.said("cluster"))
        except UadBenchError as error:
            yield str(error)
            return
        if config.device.startswith("cuda") and not file.has_gpus:
            yield (
                f"{file.path}: {config.said('device', config.device)} needs workers with a GPU: "
                "ask for one per job (job_extra_directives), and say so with "
                "`worker_extra_args: [--resources GPU=1]`"
            )


def visible_gpus(environment: Mapping[str, str], count: int) -> tuple[str, ...]:
    """Return the names of the GPUs that a process may use.

    Args:
        environment: of the process.
        count: how many it finds.
    """
    said = [one.strip() for one in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    named = [one for one in said if one] or [str(number) for number in range(count)]
    return tuple(named[:count])


def place_notes(config: RunConfig) -> Iterator[str]:
    """Yield what the user should know of where the jobs run."""
    asked, workers = config.jobs or 1, local_workers(config)
    if is_elsewhere(config):
        if config.device == "auto":
            yield (
                f"{config.said('device', 'auto')} is the CPU on other machines; "
                f"{config.said('device', 'cuda')} uses their GPUs"
            )
    elif asked > workers:
        usable = "1 core" if workers == 1 else f"{workers} cores"
        yield f"{config.said('jobs', asked)}: this process may use {usable}, so it is {workers}"


@contextmanager
def open_executor(
    config: RunConfig,
    device: str,
    folders: tuple[Path, ...],
    divide: Divide[Any] = undivided,
) -> Iterator[Executor]:
    """Start, or reach, what runs the jobs of a run.

    Args:
        config: the run.
        device: what :func:`device_of` returns.
        folders: what workers share with this process.
        divide: makes parts of a job that several workers share.

    Raises:
        UadBenchError: it does not start, or cannot be reached.
    """
    count = local_workers(config)
    if not is_elsewhere(config) and count == 1:
        yield LocalExecutor()
        return
    from uad_bench.runner.executors import pools
    from uad_bench.runner.executors.dask import DaskExecutor

    plugins = PluginSources.gather(config.plugin).paths
    if config.scheduler is not None:
        said = config.said("scheduler", config.scheduler)
        pool = pools.running_pool(config.scheduler, said=said)
    elif config.cluster is not None:
        file = read_cluster_file(config.cluster, said=config.said("cluster"))
        pool = pools.cluster_pool(file, ResultsFolder(config.results).ended)
    else:
        threads = max(1, min(cores() // count, asked_threads(os.environ) or cores()))
        said = config.said("jobs", count)
        pool = pools.local_pool(count, threads, _gpus(config, device), said=said)
    with pool as workers:
        yield DaskExecutor(workers, device=device, folders=folders, plugins=plugins, divide=divide)


def _gpus(config: RunConfig, device: str) -> tuple[str, ...]:
    """The GPUs of this machine that workers share, one each: all, or the one that was named."""
    if not device.startswith("cuda"):
        return ()
    import torch

    gpus = visible_gpus(os.environ, torch.cuda.device_count())
    _, _, number = config.device.partition(":")
    return (gpus[int(number)],) if number else gpus
