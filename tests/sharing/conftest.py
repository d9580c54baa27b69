"""What several files share or take in."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_archives import cell, results

import uad_bench as ub


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """An export of two cells."""
    root = tmp_path_factory.mktemp("archive")
    return results(root / "results", cell(0), cell(1)).export(root / "run.zip")


@pytest.fixture(scope="module")
def mean(lab, prepared) -> ub.Detector:
    return ub.fit("control-mean", data_root=lab, cache=prepared, progress=False)
