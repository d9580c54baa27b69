"""An array on disk grows, and numpy reads it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from uad_bench.volumes.store import write


def test_array_files_grow_in_place(tmp_path: Path) -> None:
    """The header keeps its length however many slices follow (numpy as the oracle)."""
    array = write.ArrayFile(tmp_path / "a.npy", "<f4", (2, 3))
    rows = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    array.append(rows[:1])
    array.append(rows[1:])
    array.close()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows)
    stream: BinaryIO
    with (tmp_path / "a.npy").open("rb") as stream:
        assert len(stream.read()) == 128 + rows.nbytes
