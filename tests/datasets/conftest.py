"""Datasets to be spoilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def mslub(lab: Path, tmp_path: Path) -> Path:
    """Three patients to be spoilt: patient11, patient12, patient13."""
    return shutil.copytree(lab / "MSLUB", tmp_path / "MSLUB")


@pytest.fixture
def hi(lab: Path, tmp_path: Path) -> Path:
    """Six healthy people to be spoilt: sub-001 to sub-006, the last two for validation."""
    return shutil.copytree(lab / "HI", tmp_path / "HI")
