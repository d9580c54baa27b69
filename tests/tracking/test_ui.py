"""MLflow's page is shown until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import typer
from tracked_cells import cell, put, sync
from typer.testing import CliRunner

from uad_bench.cli.commands.ui import ui as ui_command
from uad_bench.errors import UadBenchError
from uad_bench.tracking import default_tracker
from uad_bench.tracking.server import serving


def ui(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(ui_command)
    return CliRunner().invoke(app, arguments)


def test_ui_names_a_server_and_a_store_that_is_not_there(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ui("--results", str(results)).exception
    assert isinstance(found, UadBenchError)
    assert f"{results / 'mlflow.db'}: no MLflow store" in str(found)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.lab.example")
    answer = ui("--results", str(results))
    assert answer.exit_code == 0
    assert answer.output == "MLflow is at https://mlflow.lab.example (MLFLOW_TRACKING_URI)\n"


@pytest.mark.slow
def test_ui_serves_the_cells_until_ctrl_c(results: Path, tmp_path: Path) -> None:
    put(results, cell())
    tracker = default_tracker(results)
    sync(results, tracker)
    code = "import sys; from uad_bench.cli import main; sys.exit(main())"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = pytest.raises(UadBenchError, match=f"^--port {port}: Address already in use; give")
        with said, contextlib.ExitStack() as stack:
            stack.enter_context(serving(tracker, port))
    process = subprocess.Popen(
        [sys.executable, "-c", code, "ui", "--results", str(results), "--port", str(port)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    address = url.partition("/#/")[0]
    assert address == f"http://127.0.0.1:{port}"
    assert url.endswith("/runs?viewStateShareKey=cells")
    urllib.request.urlopen(address, timeout=10).close()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)
