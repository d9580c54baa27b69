"""What several files read."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoilt_scans import Case, good_case


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return good_case(tmp_path)
