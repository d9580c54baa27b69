"""Where workers come from: processes of this machine, a scheduler that runs, or a cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from shutil import rmtree
from typing import Any

from uad_bench.errors import UadBenchError
from uad_bench.runner.executors.cluster_file import ClusterFile
from uad_bench.runner.executors.dask import GPU, Pool
from uad_bench.system.processes import START_S, without_main
from uad_bench.system.threads import THREAD_VARIABLES, set_threads, share_threads

REACH_S = 10.0
"""How long a scheduler may take to answer."""

_QUEUE_S = 24 * 3600.0
"""How long the jobs of a cluster may be in its queue while no worker runs."""

_DASK: Mapping[str, object] = {
    "distributed.worker.daemon": False,  # preparation starts processes of its own
    "distributed.admin.large-graph-warning-threshold": "1GB",
}

_LOGS = ("distributed", "tornado", "dask_jobqueue", "asyncio")
"""The packages whose logs are silenced."""

_NO_DASHBOARD: Mapping[str, object] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}


@contextmanager
def local_pool(count: int, threads: int, gpus: Sequence[str] = (), *, said: str) -> Iterator[Pool]:
    """Start processes on this machine.

    Args:
        count: how many.
        threads: of each.
        gpus: the names of the GPUs, as ``CUDA_VISIBLE_DEVICES`` has them: each is one process's.
        said: how messages name the setting that asked for them.

    Raises:
        UadBenchError: they do not start.
    """
    from distributed import Client, Nanny, Scheduler, SpecCluster

    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        more = {"distributed.scheduler.worker-ttl": None, "temporary-directory": scratch}
        stack.enter_context(_settings(more))
        stack.enter_context(_environment(threads))
        stack.enter_context(without_main())
        shared = {
            "host": "127.0.0.1",
            "nthreads": threads,
            "memory_limit": 0,  # the system ends who takes too much; a pause would last for ever
            **_NO_DASHBOARD,
            "silence_logs": logging.CRITICAL,
        }
        workers = {}
        for number in range(count):
            own: dict[str, Any] = {}
            if number < len(gpus):
                own = {"resources": {GPU: 1}, "env": {"CUDA_VISIBLE_DEVICES": gpus[number]}}
            workers[number] = {"cls": Nanny, "options": shared | own}
        scheduler = {
            "cls": Scheduler,
            "options": {"host": "127.0.0.1", "port": 0, **_NO_DASHBOARD},
        }
        try:
            with _without_interrupts():
                cluster = stack.enter_context(SpecCluster(workers, scheduler))
                client = stack.enter_context(Client(cluster, set_as_default=False))
        except (OSError, RuntimeError) as error:
            raise UadBenchError(
                f"{said}: the workers do not start ({_line(error)}): use fewer jobs"
            ) from None
        hint = "use fewer jobs, or more memory"
        yield Pool(client, said, START_S, hint, wanted=len(gpus) or count)


@contextmanager
def running_pool(address: str, *, said: str) -> Iterator[Pool]:
    """Connect to the workers of a scheduler that runs.

    Args:
        address: the scheduler's.
        said: how messages name the setting that holds it.

    Raises:
        UadBenchError: it cannot be reached.
    """
    from distributed import Client

    with _settings({}):
        with _reaching(said):
            _shake_hands(address)
            client = Client(address, timeout=REACH_S, set_as_default=False)
        with client:
            hint = f"start some with `dask worker {address}`"
            yield Pool(client, said, START_S, hint)


@contextmanager
def cluster_pool(file: ClusterFile, ended: Path) -> Iterator[Pool]:
    """Submit jobs to a cluster, each of which is one or several workers.

    Args:
        file: says which.
        ended: a folder for marks of jobs that ended, which all machines see; it is made, emptied
            and removed.

    Raises:
        UadBenchError: the file's cluster does not start.
    """
    from distributed import Client

    with ExitStack() as stack:
        stack.enter_context(_settings({"distributed.scheduler.worker-ttl": "30 minutes"}))
        faults: list[str] = []
        rmtree(ended, ignore_errors=True)  # of a run that was killed
        ended.mkdir(parents=True)
        stack.callback(rmtree, ended, ignore_errors=True)

        def refused(error: Exception) -> None:
            faults.append(" ".join(str(error).split()))

        cluster = stack.enter_context(file.open(refused, ended.absolute()))
        client = stack.enter_context(Client(cluster, set_as_default=False))
        cluster.scale(file.workers)
        hint = f"see what became of the jobs of {file.kind}, and of their logs (log_directory)"

        def refill() -> None:
            cluster.scale(file.workers)

        def submitted() -> list[object] | None:
            """The jobs that were submitted, by name; ``None`` while some are being submitted."""
            jobs = dict(cluster.workers)
            if not jobs.keys() >= set(cluster.worker_spec):
                return None
            return [name for name, job in jobs.items() if job.job_id is not None]

        def all_ended() -> bool:
            names = submitted()
            return bool(names) and all((ended / str(name)).exists() for name in names or ())

        def none_submitted() -> bool:
            return submitted() == []

        yield Pool(
            client,
            str(file.path),
            _QUEUE_S,
            hint,
            refill,
            faults,
            wanted=file.workers,
            all_ended=all_ended,
            none_submitted=none_submitted,
        )


def refuse_unreachable(address: str, *, said: str) -> None:
    """Connect once to a scheduler; see :func:`running_pool`.

    Raises:
        UadBenchError: it cannot be reached.
    """
    with _settings({}), _reaching(said):
        _shake_hands(address)


@contextmanager
def _reaching(said: str) -> Iterator[None]:
    """Say in one line why a scheduler cannot be reached."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise UadBenchError(
            f"{said}: cannot be reached within {REACH_S:g} s ({_line(error)}): "
            "start one with `dask scheduler`, and workers with `dask worker`"
        ) from None


def _shake_hands(address: str) -> None:
    """Greet a scheduler; a client of Dask would wait for ever for one that is silent.

    Raises:
        OSError: there is none.
    """
    from distributed.comm import connect
    from distributed.security import Security

    async def reach() -> None:
        arguments = Security().get_connection_args("client")
        comm = await asyncio.wait_for(connect(address, REACH_S, **arguments), REACH_S)
        await comm.close()

    with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
        thread.submit(asyncio.run, reach()).result()


@contextmanager
def _settings(more: Mapping[str, object]) -> Iterator[None]:
    """Set what of Dask must be as it is here, and silence its log: errors are told here."""
    import dask
    import distributed  # noqa: F401  # its defaults would go with the settings at the end

    known = dict.fromkeys((*_LOGS, *logging.root.manager.loggerDict))  # some have their own level
    loggers = [logging.getLogger(name) for name in known if name.partition(".")[0] in _LOGS]
    levels = [logger.level for logger in loggers]
    with dask.config.set({**_DASK, **more}):
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Let processes that start have so many threads; Dask takes it from this environment."""
    names = (*THREAD_VARIABLES, "GOMP_SPINCOUNT", "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED")
    before = {name: os.environ.get(name) for name in names}
    try:
        share_threads(os.environ, threads)
        set_threads(os.environ)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C, which a terminal sends to all, from the processes that start here.

    They inherit it from the threads that start them, and these from this one.
    """
    resource_tracker.ensure_running()  # it would let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _line(error: BaseException) -> str:
    """What an error of Dask says, in one line."""
    cause: BaseException = error.__cause__ or error
    text = next(iter(str(cause).strip().splitlines()), "no answer")
    return re.sub(r"^in <.*?>: ", "", text)  # Dask names an object of its own
