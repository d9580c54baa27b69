"""What happens in a worker of Dask: it is made ready for a run, and does one job at a time.

Everything that a worker says goes through one topic of the scheduler, in order: the events of a
job, and then its answer. Requests and answers are bytes, because the scheduler need not know what
is in them.
"""

from __future__ import annotations

import os
import pickle
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.runner.events import Event, Progressed
from uad_bench.runner.executors.contract import Done, Slot
from uad_bench.system.processes import sendable
from uad_bench.system.threads import set_threads, share_threads

if TYPE_CHECKING:
    from distributed import Scheduler, Worker

_EVERY_S = 0.5
"""How often the progress of a job is told at most."""


@dataclass(frozen=True, slots=True)
class MakeReady:
    """Asks a worker to get ready for a run.

    Attributes:
        folder: where the run was started; its paths may be relative.
        files: a file in each folder that workers share with the run, and what is in it.
        plugins: files and folders of plugins.
        perform: what runs a job, pickled.
        device: what is to be usable; empty where the worker has no part in that.
    """

    folder: Path
    files: Mapping[Path, str]
    plugins: tuple[Path, ...]
    perform: bytes
    device: str = ""


@dataclass(frozen=True, slots=True)
class DoJob:
    """Asks a worker to do a job.

    Attributes:
        job: the job, pickled.
        needs: the keys of the jobs whose results it needs.
        results: those of them, pickled, that the worker was not sent before.
    """

    job: bytes
    needs: tuple[str, ...]
    results: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker is ready."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """A worker knows nothing of the run: it is a new process, or works for another run now."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a job came to, pickled."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Raised:
    """What was raised; of a worker that gets ready, why it is unfit."""

    error: Exception


Answer = Ready | NotReady | Result | Raised


@contextmanager
def shared_files(folders: Iterable[Path]) -> Iterator[dict[Path, str]]:
    """Write a file into each folder while the block runs, so that workers show that they see it.

    Returns:
        What is in each file.

    Raises:
        UadBenchError: a folder takes no file.
    """
    with ExitStack() as stack:
        files = {}
        for folder in folders:
            word = secrets.token_hex(8)
            file = folder.absolute() / f".workers-{word}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.callback(file.unlink, missing_ok=True)
                file.write_text(word, encoding="utf-8")
            except OSError as error:
                raise UadBenchError(
                    f"{folder}: {error.strerror}, and workers write there"
                ) from None
            files[file] = word
        yield files


@dataclass(slots=True)
class _Run:
    """What a worker knows of the run that it works for."""

    perform: Callable[[Any, Done, Slot], object]
    processes: int
    results: dict[str, object] = field(default_factory=dict)


_run: dict[str, _Run] = {}
"""By topic; of one run at most."""

_one_at_a_time = threading.Lock()
"""A worker may have several threads, and several runs may share it; a training wants it whole."""


def answer(topic: str, task: str, request: bytes) -> None:
    """Do what a run asks for; the task of Dask."""
    from distributed import get_worker

    worker = get_worker()
    reply: Answer
    with _one_at_a_time:
        try:
            asked = pickle.loads(request)
            if isinstance(asked, MakeReady):
                reply = _make_ready(topic, asked, worker)
            else:
                reply = _do(topic, asked, _Telling(worker, topic, task))
        except _UnwantedError:
            return
        except BaseException as error:
            known = error if isinstance(error, Exception) else RuntimeError(repr(error))
            reply = Raised(sendable(known))
    worker.log_event(topic, [task, True, pickle.dumps(reply)])


def forget(topic: str, dask_scheduler: Scheduler) -> None:
    """Let the scheduler forget what was said: it keeps the last events of a topic, pictures too."""
    dask_scheduler._broker.truncate(topic)


def _make_ready(topic: str, asked: MakeReady, worker: Worker) -> Ready:
    where = f"worker {worker.address} on {socket.gethostname()}"
    threads = worker.state.nthreads
    _use_threads(threads)
    try:
        os.chdir(asked.folder)
    except OSError as error:
        raise UadBenchError(
            f"{where} does not see {asked.folder} ({error.strerror}): start the run in a folder "
            "that all machines share"
        ) from None
    for file, word in asked.files.items():
        with suppress(OSError):
            if file.read_text(encoding="utf-8") == word and os.access(file.parent, os.W_OK):
                continue
        raise UadBenchError(
            f"{where} does not see {file.parent}, or may not write there: name folders for results "
            "and cache that all machines share"
        )
    absent = [str(path) for path in asked.plugins if not path.exists()]
    if absent:
        raise UadBenchError(f"{where} does not see the plugin {', '.join(absent)}")
    for entry in discover(PluginSources(asked.plugins)).entries():
        if entry.source == "plugin" and entry.state == "ready":
            entry.load()
    if asked.device:
        _check_device(asked.device, where)
    # What starts processes here may not be a daemon, as a worker of a nanny is by default.
    from multiprocessing import current_process

    processes = 1 if current_process().daemon else threads
    _run.clear()
    _run[topic] = _Run(pickle.loads(asked.perform), processes)
    return Ready()


def _use_threads(count: int) -> None:
    """Let every library use as many threads as the worker has, loaded or not."""
    from threadpoolctl import threadpool_limits

    share_threads(os.environ, count)
    set_threads(os.environ)
    threadpool_limits(count)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)


def _check_device(device: str, where: str) -> None:
    from uad_bench.runner.environment import resolve_device

    try:
        resolve_device(device)
    except UadBenchError as error:
        raise UadBenchError(f"{where}: {error}") from None


def _do(topic: str, asked: DoJob, tell: _Telling) -> Answer:
    run = _run.get(topic)
    if run is None:
        return NotReady()
    for key, result in asked.results.items():
        run.results[key] = pickle.loads(result)
    done = Done({key: run.results[key] for key in asked.needs})
    value = run.perform(pickle.loads(asked.job), done, Slot(tell, run.processes))
    return Result(pickle.dumps(value))


class _UnwantedError(BaseException):
    """Nobody waits for the job any more; no method may take it for its own error."""


class _Telling:
    """Sends the events of a job, and ends a job that was cancelled."""

    def __init__(self, worker: Worker, topic: str, task: str) -> None:
        self._worker, self._topic, self._task = worker, topic, task
        self._thread = threading.get_ident()
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Send an event; of progress, now and then.

        Raises:
            _UnwantedError: the run that wanted the job is over, or gave the job to another worker.
        """
        if threading.get_ident() == self._thread and not self._is_wanted():
            raise _UnwantedError
        now = time.monotonic()
        if isinstance(event, Progressed):
            if now - self._last < _EVERY_S and event.done != event.total:
                return
            self._last = now
        self._worker.log_event(self._topic, [self._task, False, pickle.dumps(event)])

    def _is_wanted(self) -> bool:
        task = self._worker.state.tasks.get(self._task)
        return task is not None and task.state == "executing"
