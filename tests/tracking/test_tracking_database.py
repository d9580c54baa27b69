"""MLflow's database is made whole or not at all."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.store.db import utils
from sqlalchemy import create_engine

from uad_bench.tracking.connection import artifact_location, connect, sqlite_file, sqlite_uri
from uad_bench.tracking.moved import follow_files
from uad_bench.tracking.tracker import default_tracker


def test_a_database_whose_making_was_cut_short_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(engine: Any) -> None:
        with engine.begin() as database:  # as a kill leaves it in the midst of a migration
            database.exec_driver_sql("CREATE TABLE _alembic_tmp_latest_metrics (a INTEGER)")
        raise KeyboardInterrupt

    def begin() -> Any:
        with connect(f"sqlite:///{tmp_path}/mlflow.db", tmp_path) as client:
            return client.create_experiment("mine", f"{tmp_path}/artefacts")

    with monkeypatch.context() as patch:
        patch.setattr(utils, "_upgrade_db", cut_short)
        with pytest.raises(KeyboardInterrupt):
            begin()
    assert begin()
    assert not list(tmp_path.glob(".partial-*"))


NAMES = st.text("#?%&+@:;=[]'\" ~ä2035Fabc", min_size=1, max_size=12)


@given(folder=NAMES, name=NAMES)
@example("a b", "50%20#1?")
@example("%3F", "?mode=ro&uri=true")
@example("file:a", "%%41")
def test_the_uri_of_a_file_leads_to_that_file(folder: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        file = Path(root, folder, name)
        file.parent.mkdir()
        uri = sqlite_uri(file)
        assert sqlite_file(uri) == file
        engine = create_engine(uri)
        with closing(engine.raw_connection()) as database:
            database.cursor().execute("CREATE TABLE a (b INTEGER)")
        engine.dispose()
        assert list(file.parent.iterdir()) == [file]
        assert file.stat().st_size


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://host/runs", "sqlite:", "mlruns"])
def test_what_is_no_file_of_sqlite_has_none(uri: str) -> None:
    assert sqlite_file(uri) is None


def test_a_results_folder_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "50%25 of #1? ä"
    results.mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = default_tracker(results).uri
    with connect(uri, results) as client:
        experiment = client.create_experiment("mine", artifact_location(uri, results))
    with connect(uri, results) as client:
        assert client.get_experiment_by_name("mine").experiment_id == experiment
        run = client.create_run(experiment).info.run_id
        client.log_text(run, "so", "said.txt")
    assert [one.name for one in results.glob("*.db")] == ["mlflow.db"]
    (text,) = (results / "mlartifacts").rglob("said.txt")
    assert text.read_text(encoding="utf-8") == "so"
    assert list(tmp_path.iterdir()) == [results], "MLflow makes a folder of the quoted path"


@pytest.mark.parametrize("copied", [False, True])
def test_a_results_folder_that_was_moved_or_copied_keeps_its_files(
    copied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def send(results: Path, name: str) -> str:
        tracker = default_tracker(results)
        with connect(tracker.uri, results) as client:
            experiment = tracker._experiment_id(client, results)
            run = str(client.create_run(experiment).info.run_id)
            client.log_text(run, results.name, name)
            return run

    def places(results: Path, run: str) -> list[Path]:
        with connect(default_tracker(results).uri, results) as client:
            uri = client.get_run(run).info.artifact_uri
        return sorted(Path(url2pathname(urlsplit(uri).path)).iterdir())

    before, now = tmp_path / "be fore", tmp_path / "now #1"
    before.mkdir()
    old = send(before, "old.txt")
    if copied:
        copytree(before, now)
    else:
        before.rename(now)
    new = send(now, "new.txt")
    files = now / "mlartifacts"
    assert places(now, old) == [files / old / "artifacts" / "old.txt"]
    assert places(now, new) == [files / new / "artifacts" / "new.txt"]
    assert before.exists() == copied
    if copied:
        assert places(before, old) == [before / "mlartifacts" / old / "artifacts" / "old.txt"]
        assert not list(before.rglob("new.txt"))


def test_every_experiment_with_files_in_a_moved_folder_follows_them(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    before.mkdir()
    uri = sqlite_uri(before / "mlflow.db")
    with connect(uri, before) as client:
        for name in ("uad-bench", "by hand"):
            client.create_experiment(name, artifact_location(uri, before))
        client.create_experiment("elsewhere", (tmp_path / "disk").as_uri())
    before.rename(now)
    uri = sqlite_uri(now / "mlflow.db")
    follow_files(uri, "uad-bench")
    with connect(uri, now) as client:
        places = {one.name: one.artifact_location for one in client.search_experiments()}
    assert places["uad-bench"] == places["by hand"] == artifact_location(uri, now)
    assert places["elsewhere"] == (tmp_path / "disk").as_uri()


@pytest.mark.parametrize("location", ["s3://bucket/mlartifacts", "elsewhere", "mlartifacts"])
def test_files_that_are_elsewhere_stay_there(location: str, tmp_path: Path) -> None:
    results, place = tmp_path / "results", location
    results.mkdir()
    if "://" not in location:
        (tmp_path / "disk" / location).mkdir(parents=True)
        place = (tmp_path / "disk" / location).as_uri()
    uri = sqlite_uri(results / "mlflow.db")
    with connect(uri, results) as client:
        client.create_experiment("uad-bench", place)
    follow_files(uri, "uad-bench")
    with connect(uri, results) as client:
        assert client.get_experiment_by_name("uad-bench").artifact_location == place


def test_a_database_without_its_experiment_is_left_alone(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    with connect(uri, tmp_path):
        pass
    before = (tmp_path / "mlflow.db").read_bytes()
    follow_files(uri, "uad-bench")
    follow_files("http://localhost:1", "uad-bench")
    assert (tmp_path / "mlflow.db").read_bytes() == before
