"""When MLflow's server is away, nothing else suffers."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from tracked_cells import cell, failed_cell, files_of, picture, put, runs_of, send, sync, unsent
from typer.testing import CliRunner

from uad_bench.cli.commands.sync import sync as sync_command
from uad_bench.tracking import Tracker, TrackingError, default_tracker


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """A real server on this machine, stopped at the end."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", (folder / "files").as_uri()]
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail((folder / "server.log").read_text()[-2000:])
                time.sleep(0.2)
        yield uri
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(15)
        with contextlib.suppress(ProcessLookupError):  # its workers may outlive it
            os.killpg(process.pid, 9)


@pytest.mark.slow
def test_a_server_that_comes_and_goes_loses_nothing(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    away = Tracker(f"http://127.0.0.1:{port}")
    put(results, cell(0), failed_cell(1))
    started = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer") as caught:
        send(away, cell(0), results)
    assert time.monotonic() - started < 20
    assert f"uad-bench sync --results '{results}'" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrackingError):
        sync(results, away)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", away.uri)
    with mlflow_server(tmp_path, port) as uri:
        tracker = default_tracker(results)
        assert tracker.uri == uri
        picture(results, cell(0))
        app = typer.Typer()
        app.command()(sync_command)
        answer = CliRunner().invoke(app, ["--results", str(results)])
        assert answer.exit_code == 0, answer.output
        assert "2 cells sent, 0 were there, 0 refused" in answer.output
        assert sync(results, tracker).sent == ()
        by_cell = {run.data.tags["key"]: run for run in runs_of(tracker)}
        done = by_cell[cell(0).spec.name]
        assert done.data.metrics["auprc"] == 0.4
        assert sorted(Path(name).suffix for name in files_of(tracker, done)) == [".json", ".png"]
        assert by_cell[failed_cell(1).spec.name].info.status == "FAILED"
    with pytest.raises(TrackingError, match="does not answer"):
        unsent(tracker, results)


def test_a_server_that_accepts_and_never_answers_is_given_up(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    put(results, cell())
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(5)
        started = time.monotonic()
        with pytest.raises(TrackingError, match="does not answer"):
            send(Tracker(f"http://127.0.0.1:{mute.getsockname()[1]}"), cell(), results)
    assert time.monotonic() - started < 15
