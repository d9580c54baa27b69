"""MLflow's database is made whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow.store.db import utils

from uad_bench.tracking.connection import connect


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
