"""MLflow's own pages on a store, for this machine only, as long as somebody looks at them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from uad_bench.errors import UadBenchError
from uad_bench.tracking.connection import no_folders_of_quotes
from uad_bench.tracking.moved import follow_files
from uad_bench.tracking.tracker import Tracker
from uad_bench.tracking.views import FIRST

_HOST = "127.0.0.1"
_START_S = 120.0
_LOOK_S = 0.2
_END_S = 10.0

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@dataclass(frozen=True, slots=True)
class Pages:
    """A server that runs.

    Attributes:
        url: of the cells, the best first.
        process: the server's.
    """

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def serving(tracker: Tracker, port: int | None = None) -> Iterator[Pages]:
    """Serve MLflow's pages on a database while the block runs.

    Args:
        tracker: of a database.
        port: where; any that is free if not given.

    Raises:
        UadBenchError: the port is taken, or the server does not start, with the last thing that it
            said.
    """
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it may have just been free
        try:
            free.bind((_HOST, port or 0))
        except OSError as error:
            raise UadBenchError(
                f"--port {port}: {error.strerror}; give another, or none for one that is free"
            ) from None
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", _HOST, "--port", str(port), "--backend-store-uri", tracker.uri]
    with contextlib.suppress(sqlite3.Error):  # a store that one may only read is shown as it is
        follow_files(tracker.uri, tracker.experiment)
    with (
        no_folders_of_quotes(tracker.uri),
        tempfile.TemporaryDirectory(prefix="uad-bench-") as folder,
        tempfile.TemporaryFile() as log,
    ):
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | _ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            address = f"http://{_HOST}:{port}"
            if not _answers(address, process):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise UadBenchError(f"MLflow's server did not start: {said or 'it says nothing'}")
            yield Pages(address + _page(address, tracker.experiment), process)
        finally:
            _end(process)


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the server; whether it came up."""
    give_up = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/health", timeout=1).close()
            return True
        time.sleep(_LOOK_S)
    return False


def _page(address: str, experiment: str) -> str:
    """The page of the experiment's cells; MLflow's first one where there is no experiment."""
    query = urlencode({"experiment_name": experiment})
    try:
        with urllib.request.urlopen(
            f"{address}/api/2.0/mlflow/experiments/get-by-name?{query}", timeout=10
        ) as answer:
            number = json.load(answer)["experiment"]["experiment_id"]
    except (OSError, ValueError, KeyError):
        return "/"
    return f"/#/experiments/{number}/runs?viewStateShareKey={FIRST}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its workers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
