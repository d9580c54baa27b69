"""Methods in files, one of them supervised, prepared datasets, and torch on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
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


@pytest.fixture
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
