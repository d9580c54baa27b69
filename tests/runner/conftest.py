"""What several files read."""

from __future__ import annotations

from pathlib import Path

import pytest
from box_runs import BOX


@pytest.fixture
def cache(prepared: Path) -> Path:
    """Prepared datasets."""
    return prepared


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's method in one file."""
    file = tmp_path_factory.mktemp("plugin") / "box.py"
    file.write_text(BOX)
    return file
