"""Worker processes. One that dies is noticed at once, and told in one line.

The pools of the standard library can wait for ever. Where a worker is killed while it starts, the
parent still fills its pipe (python/cpython#118981). Where it is killed halfway through a result,
the parent waits for the rest, because the other workers hold the same pipe open. Here each worker
has a pipe of its own, which ends with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from uad_bench.errors import UadBenchError

T = TypeVar("T")

START_S = 300.0
"""Seconds that a worker may take to start: imports from a slow network disk take minutes."""

_STOP_S = 10.0
"""Seconds that an idle worker gets to end by itself."""

Task = tuple[Callable[..., Any], tuple[Any, ...]]


class Workers:
    """Up to ``count`` processes that do tasks; started when tasks come. A context manager."""

    def __init__(self, count: int, what: str, setup: Task | None = None) -> None:
        """Start nothing yet.

        Args:
            count: processes at most.
            what: what they do, for the message of a death, such as ``prepared scans``.
            setup: called once in every worker, before its first task.
        """
        self._what, self._setup = what, setup or (_no_setup, ())
        self._threads = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: list[_Worker] = []
        self._lock = threading.Lock()
        self._death: str | None = None

    def submit(self, function: Callable[..., T], *args: object) -> Future[T]:
        """Have ``function`` called in a worker; the arguments and the result are pickled.

        The future raises what the function raises, or ``UadBenchError`` where a worker died.
        """
        return self._threads.submit(self._do, function, args)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop the tasks that wait, let those in work end, and stop the processes."""
        try:
            self._threads.shutdown(cancel_futures=True)
        finally:
            for worker in self._all:
                worker.stop()

    def _do(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        """Do one task in an idle or new worker; runs in a thread of its own."""
        try:
            worker = self._take_worker()
            is_done, result = worker.call((function, args))
        except _DeathError as death:
            raise UadBenchError(self._stop_all(str(death))) from None
        self._idle.put(worker)
        if not is_done:
            raise result
        value: T = result
        return value

    def _take_worker(self) -> _Worker:
        with contextlib.suppress(Empty):
            return self._idle.get_nowait()
        with self._lock:
            if self._death is not None:
                raise _DeathError(self._death)
            worker = _Worker()
            self._all.append(worker)
        is_done, result = worker.call(self._setup, START_S)
        if not is_done:
            raise result
        return worker

    def _stop_all(self, death: str) -> str:
        """Stop every worker, since the work cannot be whole; return why, as the first one died."""
        with self._lock:
            if self._death is None:
                self._death = f"a process that {self._what} {death}"
                for worker in self._all:
                    worker.kill()
            return self._death


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Hide the user's script from processes that start: they would run it a second time.

    Workers call functions of modules. A script that calls the front door therefore needs no
    ``if __name__ == "__main__":``.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


_STARTING = threading.Lock()
"""Held while a process starts: what is hidden is the same for all threads."""


class _DeathError(Exception):
    """A worker that is gone; the message says how it went."""


class _Worker:
    """One process and its pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._is_started = False
        try:
            with _STARTING, without_main():
                self._process.start()
        except OSError as error:  # no memory for another process, or too many of them
            raise _DeathError(f"cannot start ({error.strerror}): use fewer jobs (-j)") from None
        finally:
            theirs.close()

    def call(self, task: Task, limit_s: float | None = None) -> tuple[bool, Any]:
        """Have a task done: return whether it was, and its result or what it raised.

        Raises:
            _DeathError: the process died, or did not answer within ``limit_s``.
        """
        message = pickle.dumps(task)
        try:
            self._pipe.send_bytes(message)
            if not self._pipe.poll(limit_s):
                raise _DeathError(f"did not start within {limit_s:g} s: use fewer jobs (-j)")
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise _DeathError(self._how_it_died()) from None
        self._is_started = True
        is_done, result = pickle.loads(answer)
        return is_done, result

    def kill(self) -> None:
        """End the process whatever it does."""
        self._process.kill()

    def stop(self) -> None:
        """Let the process end by itself, or end it."""
        self._pipe.close()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._process.close()

    def _how_it_died(self) -> str:
        self._process.join(_STOP_S)
        code = self._process.exitcode or 0
        when = "" if self._is_started else " at its start"
        if code >= 0:
            return (
                f"ended{when} (exit code {code}): the lines above say why, else use fewer jobs (-j)"
            )
        name = signal.Signals(-code).name
        cause = ", most likely for memory" if name == "SIGKILL" else ""
        return f"was killed{when} by {name}{cause}: use fewer jobs (-j)"


def _serve(pipe: Connection) -> None:
    """Do tasks until the parent closes the pipe, or is gone."""
    for sent_to_all in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C, and what a cluster ends a job by
        signal.signal(sent_to_all, signal.SIG_IGN)  # they are the parent's to handle
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(task: bytes) -> bytes:
    """Do a pickled task; return whether it was done, and its result or error, pickled."""
    try:
        function, args = pickle.loads(task)
        return pickle.dumps((True, function(*args)))
    except Exception as error:
        return pickle.dumps((False, sendable(error)))


def sendable(error: Exception) -> Exception:
    """Return a caught error with its traceback as a note, as it can be sent to another process."""
    error.add_note(f"in a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # it holds what cannot travel
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _no_setup() -> None:
    """Set up nothing: that the worker answers is enough."""
