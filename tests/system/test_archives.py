"""An archive of arrays is the same bytes, whether or not its columns are in memory as a whole."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uad_bench.system.archives import Column, npz_bytes, write_npz

DTYPES = st.sampled_from([np.uint16, np.uint32, np.int64])


@given(
    parts=st.lists(DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, st.integers(0, 30))), max_size=6),
    repeat=st.sampled_from([1, 500, 9000]),
)
def test_a_column_is_written_as_the_whole_array_would_be(parts, repeat):
    parts = [np.tile(one, repeat).astype(np.int64) for one in parts]
    whole = np.concatenate([np.zeros(0, np.int64), *parts])
    out = io.BytesIO()
    column = Column(np.dtype(np.int64), len(whole), iter(parts))
    write_npz(out, {"names": np.array(["a"]), "column": column})
    assert out.getvalue() == npz_bytes({"names": np.array(["a"]), "column": whole})
    out.seek(0)
    with np.load(out, allow_pickle=False) as file:
        assert np.array_equal(file["column"], whole)
