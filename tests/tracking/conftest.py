"""A results folder, and a database of MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from uad_bench.tracking import Tracker


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite database for all tests (making one takes seconds); an experiment per test."""
    return f"sqlite:///{tmp_path_factory.mktemp('a database') / 'mlflow.db'}"


@pytest.fixture
def tracker(database: str, request: pytest.FixtureRequest) -> Tracker:
    return Tracker(database, experiment=request.node.name)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "my results"
