"""Methods of three files, one of them supervised, and datasets that are prepared."""

from __future__ import annotations

from pathlib import Path

import pytest
from supervised_runs import BRIGHT, PUPIL


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supervised method and two that are not."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "pupil.py").write_text(PUPIL)
    for name, power in (("Bright", 1), ("Brighter", 2)):
        text = BRIGHT.format(name=name, lower=name.lower(), power=power)
        (folder / f"{name.lower()}.py").write_text(text)
    return folder


@pytest.fixture(scope="session")
def cache(prepared: Path) -> Path:
    """Prepared datasets."""
    return prepared
