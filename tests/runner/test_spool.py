"""Histograms in a file: the same to the last count, none in memory, and damage is one line."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scored import MeasuredScan, named_histograms
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.tally import LEVELS, Tally
from uad_bench.evaluation.values import ScanScores
from uad_bench.histogram_files import load_histograms, save_histograms
from uad_bench.runner.jobs.spool import Spool

COUNTS = st.one_of(st.integers(0, 3), st.sampled_from([2**32 - 1, 2**32, 2**62]))
TALLIES = st.dictionaries(st.integers(0, LEVELS - 1), COUNTS, max_size=5)
HISTOGRAMS = st.builds(
    lambda *tallies: ScoreHistogram(*map(made, tallies)),
    TALLIES,
    TALLIES,
)


def made(counts: dict[int, int]) -> Tally:
    dense = np.zeros(LEVELS, np.int64)
    dense[list(counts)] = list(counts.values())
    return Tally.of(dense)


def scan(name: str, histograms: dict[str, ScoreHistogram]) -> MeasuredScan:
    return MeasuredScan(ScanScores(subject=name, metrics={}), histograms)


def same(one: ScoreHistogram, other: ScoreHistogram) -> bool:
    pairs = ((one.healthy, other.healthy), (one.lesion, other.lesion))
    return all(
        np.array_equal(own.levels, others.levels)
        and np.array_equal(own.counts, others.counts)
        and (own.levels.dtype, own.counts.dtype) == (others.levels.dtype, others.counts.dtype)
        for own, others in pairs
    )


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["brain", "slice"]), HISTOGRAMS), min_size=1, max_size=4
    ),
    st.randoms(),
)
def test_histograms_come_back_equal_in_any_order(people, chance):
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "a.spool")
        kept = [spool.keep(scan(str(at), own)) for at, own in enumerate(people)]
        for at in chance.sample(range(len(people)), len(people)):
            assert list(kept[at].histograms) == list(people[at])
            for domain, histogram in people[at].items():
                assert same(kept[at].histograms[domain], histogram)


def test_a_file_that_another_process_wrote_is_read_again(tmp_path):
    one, two = (ScoreHistogram(made({5: 1}), made({9: count})) for count in (2, 3))
    first = Spool(tmp_path / "a.spool")
    places = first.kept({"slice": one})
    del first
    again = Spool(tmp_path / "a.spool")
    more = again.kept({"slice": two})
    assert same(again.histograms(places)["slice"], one)
    assert same(again.histograms(more)["slice"], two)


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:-1], lambda data: bytes(99)])
def test_a_damaged_file_is_one_line_that_says_what_to_do(tmp_path, harm):
    spool = Spool(tmp_path / "a.spool")
    places = spool.kept({"slice": ScoreHistogram(made({5: 1}), made({9: 2}))})
    file = tmp_path / "a.spool"
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(UadBenchError, match=rf"in {file} .*: delete {tmp_path} and run") as caught:
        spool.histograms(places)["slice"]
    assert "\n" not in str(caught.value)


def test_scans_that_were_kept_take_no_memory_and_are_written_one_by_one(tmp_path):
    def people(count):
        rng = np.random.default_rng(0)
        for at in range(count):
            levels = rng.integers(0, 9, (4, 5)).astype(np.uint16)
            lesion = rng.integers(0, 2, (4, 5)).astype(np.uint8)
            yield scan(str(at), {"slice": ScoreHistogram.of(levels, lesion)})

    def alive():
        gc.collect()
        return sum(type(one) is Tally for one in gc.get_objects())

    spool, before = Spool(tmp_path / "a.spool"), alive()
    kept = [spool.keep(one) for one in people(20)]
    assert alive() == before
    named = named_histograms(kept)
    assert len(named) == 20
    assert alive() == before
    save_histograms(tmp_path / "kept.npz", named)
    assert alive() == before
    wanted = {f"{one.name}/slice": one.histograms["slice"] for one in people(20)}
    save_histograms(tmp_path / "wanted.npz", wanted)
    assert (tmp_path / "kept.npz").read_bytes() == (tmp_path / "wanted.npz").read_bytes()
    assert list(load_histograms(tmp_path / "kept.npz")) == sorted(wanted)
