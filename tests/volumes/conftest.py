"""What several files read."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_store import RECIPE, Toy, make, prepare
from spoilt_scans import Case, good_case

from uad_bench.dataset import Scan
from uad_bench.volumes.store.prepared import PreparedDataset


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return good_case(tmp_path)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scan]]:
    """Root and scans: 3 for training, 1 for validation, 2 patients, given out of order."""
    root = tmp_path_factory.mktemp("raw")
    scans = [make(root, 5, "test", lesion=True), make(root, 1, "train"), make(root, 2, "train")]
    scans += [make(root, 4, "validation"), make(root, 3, "train")]
    return root, [*scans, make(root, 6, "test", lesion=True)]


@pytest.fixture(scope="session")
def store(
    raw: tuple[Path, list[Scan]], tmp_path_factory: pytest.TempPathFactory
) -> PreparedDataset:
    root, scans = raw
    return prepare(Toy(scans), root, RECIPE, tmp_path_factory.mktemp("store"), simulated=True)
