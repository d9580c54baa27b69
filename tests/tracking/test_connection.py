"""Where MLflow keeps things, and what stays untouched."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tracked_cells import cell, put, send, unsent

from uad_bench.results import ResultsFolder, write_cell
from uad_bench.tracking import Tracker, TrackingError, default_tracker
from uad_bench.tracking.connection import artifact_location, public_uri


def test_without_a_server_the_database_and_files_lie_in_the_results_folder(
    results: Path, tmp_path: Path
) -> None:
    """In a process of its own: nothing in the working directory or the home folder, no word."""
    put(results, cell())
    (tmp_path / "home").mkdir()
    (tmp_path / "cwd").mkdir()
    code = (
        "import logging, os, sys\n"
        "from pathlib import Path\n"
        "from uad_bench.results import ResultsFolder\n"
        "from uad_bench.tracking import default_tracker, sync\n"
        "assert not {'mlflow', 'torch'} & set(sys.modules)\n"
        "before = dict(os.environ)\n"
        "logging.getLogger('alembic').setLevel(logging.WARNING)\n"
        "folder = Path(sys.argv[1])\n"
        "done = sync(ResultsFolder(folder), default_tracker(folder), lambda _: {})\n"
        "assert (len(done.sent), done.failed) == (1, ()), done\n"
        "changed = dict(os.environ).items() ^ before.items()\n"
        "assert not changed, changed\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "for name in ('alembic', 'mlflow', 'sqlalchemy.engine', ''):\n"
        "    for handler in logging.getLogger(name).handlers:\n"
        "        assert isinstance(handler, logging.NullHandler), name\n"
        "assert logging.getLogger('alembic').level == logging.WARNING\n"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW", "XDG", "PYTEST")) and name != "CI"
    }
    # A process above that uses MLflow itself leaves this, and MLflow's import takes it away.
    environment["_MLFLOW_TELEMETRY_SESSION_ID"] = "of the caller"
    answer = subprocess.run(
        [sys.executable, "-c", code, str(results)],
        cwd=tmp_path / "cwd",
        env=environment | {"HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not answer.stderr, answer.stderr
    assert (answer.returncode, answer.stdout) == (0, "")
    assert list((tmp_path / "cwd").iterdir()) == []
    assert list((tmp_path / "home").iterdir()) == []
    assert (results / "mlflow.db").is_file()
    (stored,) = (results / "mlartifacts").rglob("*.json")
    assert json.loads(stored.read_text())["spec"]["method"] == "spa"


def test_the_active_run_and_uri_of_the_callers_own_mlflow_stay_as_they_are(
    tracker: Tracker, results: Path
) -> None:
    import mlflow

    before = (mlflow.get_tracking_uri(), mlflow.active_run(), logging.getLogger("mlflow").level)
    put(results, cell())
    send(tracker, cell(), results)
    after = (mlflow.get_tracking_uri(), mlflow.active_run(), logging.getLogger("mlflow").level)
    assert after == before


def test_a_deleted_experiment_is_named_with_what_to_do(tracker: Tracker, results: Path) -> None:
    from mlflow import MlflowClient

    put(results, cell())
    send(tracker, cell(), results)
    client = MlflowClient(tracking_uri=tracker.uri)
    client.delete_experiment(client.get_experiment_by_name(tracker.experiment).experiment_id)
    with pytest.raises(TrackingError, match=r"was deleted in MLflow .* restore it"):
        unsent(Tracker(tracker.uri, tracker.experiment), results)


MLFLOW = tuple(int(part) for part in version("mlflow").split(".")[:2])


refused = pytest.param(
    "./mlruns", marks=pytest.mark.skipif(MLFLOW < (3, 13), reason="MLflow 3.13 refuses folders")
)


@pytest.mark.parametrize("uri", ["sqlite:////proc/nope/x.db", "nonsense://x", refused])
def test_a_place_that_cannot_be_used_is_one_line_at_once(uri: str, results: Path) -> None:
    put(results, cell())
    with pytest.raises(TrackingError) as caught:
        send(Tracker(uri), cell(), results)
    assert "\n" not in str(caught.value)
    assert uri in str(caught.value)


def test_a_file_that_is_no_database_is_one_line_at_once(results: Path, tmp_path: Path) -> None:
    put(results, cell())
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(TrackingError, match="not a database"):
        send(Tracker(f"sqlite:///{tmp_path / 'x.db'}"), cell(), results)


def test_a_password_in_the_uri_is_never_shown(results: Path) -> None:
    put(results, cell())
    tracker = Tracker("postgresql+psycopg2://lab:secret@127.0.0.1:9/mlflow")
    with pytest.raises(TrackingError) as caught:
        send(tracker, cell(), results)
    assert "secret" not in str(caught.value)
    assert tracker.where == "postgresql+psycopg2://127.0.0.1:9/mlflow"
    assert public_uri("databricks") == "databricks"


def test_files_never_go_to_the_working_directory(tmp_path: Path) -> None:
    beside = (tmp_path / "db" / "mlartifacts").as_uri()
    assert artifact_location(f"sqlite:///{tmp_path}/db/mlflow.db", tmp_path) == beside
    inside = (tmp_path / "mlartifacts").as_uri()
    assert artifact_location("postgresql://host/x", tmp_path) == inside
    assert artifact_location("https://mlflow.example.org", tmp_path) is None


def test_who_may_read_the_database_and_its_files_the_umask_decides(results: Path) -> None:
    umask = 0o006  # neither the usual one, nor that of a mode anybody would write down
    record = cell()
    before = os.umask(umask)
    try:
        write_cell(ResultsFolder(results), record)
        send(default_tracker(results), record, results)
    finally:
        os.umask(before)
    files = [results / "mlflow.db", *results.glob("mlartifacts/*/artifacts/*.json")]
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o666 & ~umask}


def test_runs_that_create_one_database_at_once_all_arrive(results: Path, tmp_path: Path) -> None:
    """MLflow's own lock is in TMPDIR, which two machines or jobs do not share."""
    write_cell(ResultsFolder(results), cell())
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'shared.db'}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "uad_bench", "sync", "--results"]
    runs = []
    for number in range(2):
        folder, temporary = tmp_path / f"results-{number}", tmp_path / f"tmp-{number}"
        shutil.copytree(results, folder)
        temporary.mkdir()
        runs.append(
            subprocess.Popen(
                [*command, str(folder)],
                env=environment | {"TMPDIR": str(temporary)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    told = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert any("1 cell sent" in said for _, said in told), told
    assert all("0 refused" in said for _, said in told), told
