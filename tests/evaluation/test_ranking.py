"""Protects: mean ranks, their test and their diagram are those of Demsar (2006)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.statistics.ranking import MeanRanks, mean_ranks
from uad_bench.report.plots.critical_difference import critical_difference_figure

TABLE_5A = {3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
"""Demsar's critical values of the two-tailed Nemenyi test at 0.05, by the number of methods."""

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("methods", "critical"), TABLE_5A.items())
def test_the_critical_difference_is_that_of_the_table(methods, critical):
    found = mean_ranks(RNG.random((14, methods)), "higher")
    expected = critical * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert found.critical == pytest.approx(expected, abs=1e-3)


def test_the_test_is_friedmans_formula():
    values = RNG.random((12, 4))
    found = mean_ranks(values, "higher")
    ranks = np.array(found.ranks)
    chi = 12 * 12 / (4 * 5) * (np.square(ranks).sum() - 4 * 25 / 4)
    assert found.p == pytest.approx(stats.chi2.sf(chi, 3))
    assert ranks.sum() == pytest.approx(10)


def test_the_better_side_decides_who_is_first():
    values = np.array([[3.0, 2.0, 1.0], [9.0, 5.0, 5.0]])
    assert mean_ranks(values, "higher").ranks == (1.0, 2.25, 2.75)
    assert mean_ranks(values, "lower").ranks == (3.0, 1.75, 1.25)


def test_methods_that_never_differ_have_one_bar():
    found = mean_ranks(np.ones((5, 3)), "higher")
    assert (found.p, found.ranks, found.alike) == (1.0, (2.0,) * 3, ((2.0, 2.0),))


def test_methods_of_one_rank_share_a_bar_where_others_differ():
    """Without one the diagram said that two methods with the same values differ."""
    ranks = MeanRanks((1.5, 1.5, 3.0, 4.0), 0.001, 1.2, 9)
    assert ranks.alike == ((1.5, 1.5), (3.0, 4.0))
    assert MeanRanks((1.0, 2.0, 3.5, 3.5), 0.001, 0.5, 9).alike == ((3.5, 3.5),)


@settings(max_examples=50)
@given(st.lists(st.integers(4, 40), min_size=3, max_size=8), st.floats(0.3, 6))
def test_two_methods_share_a_bar_where_they_are_not_shown_to_differ(ranks, critical):
    found = MeanRanks(tuple(rank / 4 for rank in ranks), 0.01, critical, 9)
    for one in found.ranks:
        for other in found.ranks:
            joined = any(
                low <= min(one, other) and max(one, other) <= high for low, high in found.alike
            )
            assert joined == (abs(one - other) < critical) or one == other
    lows = [low for low, _ in found.alike]
    highs = [high for _, high in found.alike]
    assert lows == sorted(set(lows))
    assert highs == sorted(set(highs))


@pytest.mark.parametrize("shape", [(5, 2), (1, 3), (0, 4)])
def test_too_few_cannot_be_ranked(shape):
    with pytest.raises(UadBenchError, match="three methods or more"):
        mean_ranks(np.ones(shape), "higher")


@pytest.mark.parametrize("count", [3, 5, 9])
def test_no_text_of_the_diagram_is_over_another_however_much_is_said(count):
    alike = MeanRanks(tuple(1.0 + k * (count - 1) / count for k in range(count)), 0.001, 1.5, 12)
    title, notes = "AUPRC on " + "a dataset, " * 12, ["What a reader must know."] * 20
    figure = critical_difference_figure(alike, [f"m{k}" for k in range(count)], title, notes)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    boxes += [text.get_window_extent() for text in (figure._suptitle, figure._supxlabel)]
    boxes += [line.get_window_extent() for line in axes.lines if line.get_marker() == "|"]
    for at, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[at + 1 :])


@pytest.mark.parametrize("p", [0.001, 0.3])
def test_the_diagram_names_everybody_and_says_what_is_shown(tmp_path: Path, p):
    labels = ["SPA*", "VAE $x$", "<b>", "Größe", "last"]
    ranks = MeanRanks((1.2, 1.9, 3.0, 4.1, 4.8), p, 1.5, 12)
    figure = critical_difference_figure(ranks, labels, "AUPRC_on MSLUB")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert all(any(label in text for text in texts) for label in labels)
    assert ("CD 1.50" in texts) == (p < 0.05)
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() == 3]
    assert len(bars) == len(ranks.alike) == (4 if p < 0.05 else 1)
    for name in ("cd.pdf", "cd.svg", "cd.png"):
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
