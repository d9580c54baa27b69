"""Ranks are over the subjects that all methods have."""

from __future__ import annotations

import pytest
from compared_cells import HIGH, LOW, cell, results, taught

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.report.plots.catalogue import FIGURES
from uad_bench.report.plots.source import make_source
from uad_bench.report.plots.style import styled
from uad_bench.report.statistics.chosen import Question
from uad_bench.report.statistics.ranks import ranked_methods


def test_ranks_are_over_the_subjects_that_all_methods_have(tmp_path):
    cells = [
        cell(method, values, dataset=dataset)
        for dataset in ("mslub", "wmh")
        for method, values in (("spa", HIGH), ("vae", LOW[:6]), ("gmvae", [None, *HIGH[1:]]))
    ]
    folder = results(tmp_path, *cells)
    question = Question(("vae", "spa", "gmvae"))
    found = ranked_methods(folder.cells, open_registry(None), question)
    assert [column.label for column in found.chosen.columns] == ["VAE", "SPA", "GMVAE"]
    assert found.ranks.subjects == 10
    assert found.ranks.ranks == (3.0, 1.5, 1.5)
    assert found.notes == tuple(
        f"{name}: 3 subjects left out, without AUPRC of every method." for name in ("MSLUB", "WMH")
    )


def test_a_dataset_that_a_method_lacks_is_not_said_to_be_ranked(tmp_path):
    cells = [
        cell(method, values, dataset=dataset)
        for dataset in ("mslub", "wmh")
        for method, values in (("spa", HIGH), ("vae", LOW), ("gmvae", LOW[::-1]))
        if (method, dataset) != ("gmvae", "wmh")
    ]
    folder = results(tmp_path, *cells)
    found = ranked_methods(folder.cells, open_registry(None), Question())
    assert found.ranks.subjects == len(HIGH)
    said = "Not ranked on WMH, because no subject there has AUPRC of every method."
    assert found.notes == (said,)
    with styled():
        source = make_source(folder.cells, folder.folder, open_registry(None))
        figure = FIGURES["critical-difference"].draw(source)
    assert figure.get_suptitle() == "AUPRC on MSLUB"
    (below,) = [text.get_text() for text in figure.texts if "Mean ranks" in text.get_text()]
    assert said in " ".join(below.split())


def test_a_method_tested_on_a_part_is_not_ranked(tmp_path):
    cells = [cell(method, HIGH) for method in ("spa", "vae", "gmvae")]
    folder = results(tmp_path, *cells, taught(HIGH[:2]))
    found = ranked_methods(folder.cells, open_registry(None), Question())
    assert [column.label for column in found.chosen.columns] == ["GMVAE", "SPA", "VAE"]
    assert found.ranks.subjects == len(HIGH)
    assert found.notes == ()
    with pytest.raises(UadBenchError, match=r"3 methods or more; .*: U-Net \(MSLUB\)"):
        ranked_methods(folder.cells, open_registry(None), Question(("spa", "vae", "unet")))


def test_ranks_need_three_methods_and_a_better_side(tmp_path):
    folder = results(tmp_path, cell("spa", HIGH, metric="fpr"), cell("vae", LOW))
    with pytest.raises(UadBenchError, match="three methods or more"):
        ranked_methods(folder.cells, open_registry(None), Question())
    with pytest.raises(UadBenchError, match="--metric fpr: neither more nor less"):
        ranked_methods(folder.cells, open_registry(None), Question(metric="fpr"))
