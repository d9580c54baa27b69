"""Scored scans of three subjects, and what thresholds come from."""

from __future__ import annotations

import pytest
from scored_scans import make_scan

from uad_bench.evaluation.protocol import validation_histogram


@pytest.fixture(scope="session")
def dataset():
    return [
        make_scan("a", 1),
        make_scan("b", 2, "1"),
        make_scan("b", 3, "2"),
        make_scan("c", 4, gain=2000),
    ]


@pytest.fixture(scope="session")
def validation():
    return validation_histogram([make_scan("healthy", 9, lesions=False)])
