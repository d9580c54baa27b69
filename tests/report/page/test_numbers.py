"""A report's numbers and pictures are those of the run."""

from __future__ import annotations

import base64
import shutil
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from made_pages import (
    json_of,
)

import uad_bench as ub
from uad_bench.evaluation.scores.histograms import dice_at
from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.histogram_files import load_histograms, save_histograms
from uad_bench.report.page.packing import RATES, _codes_at, _cuts


def test_the_numbers_of_every_threshold_are_those_of_the_runs_own_histograms(
    ran: SimpleNamespace, file: Path
) -> None:
    facts = json_of(file.read_text(encoding="utf-8"), "browser-facts")
    assert len(facts["scans"]) == 3
    done = [cell for cell in ran.results.cells if cell.state == "done"]
    assert len(done) == 4
    for cell in done:
        histograms = load_histograms(ran.results.folder / str(cell.histograms))
        for scan in cell.scans:
            (shown,) = (one for one in facts["scans"] if one["name"] == scan.subject)
            (method,) = (m for m in shown["methods"] if m["title"] == cell.method_title)
            found = method["maps"][cell.spec.postprocessing]
            for at, level in enumerate(found["thresholds"]):
                counts = found["true"][at], found["false"][at], found["lesion"]
                dice = 2 * counts[0] / sum(counts)
                assert dice == dice_at(histograms[f"{scan.subject}/brain"], level)
            at = facts["start"]
            assert facts["rates"][at] == 0.01
            assert found["thresholds"][at] == round(cell.thresholds["fpr1"] * (LEVELS - 1))
            assert found["false_findings"][at] == scan.metrics["false_findings"]
            assert found["matched"][at] / found["lesions"] == scan.metrics["lesion_recall"]


def test_the_bytes_of_all_slices_give_the_counts_of_every_threshold(file: Path) -> None:
    """What is drawn is what is counted: the masks of all slices together."""
    page = file.read_text(encoding="utf-8")
    for number, scan in enumerate(json_of(page, "browser-facts")["scans"]):
        packed = json_of(page, f"slices-{number}")
        shape = (len(packed), -1, scan["height"], scan["width"])
        parts = [
            np.frombuffer(
                b"".join(zlib.decompress(base64.b64decode(one)) for one in part), np.uint8
            )
            for part in zip(*packed, strict=True)
        ]
        own, *layers = (part.reshape(shape) for part in parts)
        brain, lesion = own[:, 1] & 1 == 1, own[:, 1] & 2 == 2
        for method, made in zip(scan["methods"], layers, strict=True):
            for found in method["maps"].values():
                codes = made[:, found["layer"]]
                for at, code in enumerate(found["at"]):
                    mask = (codes >= code) & brain
                    assert (mask & lesion).sum() == found["true"][at]
                    assert (mask & ~lesion).sum() == found["false"][at]


@given(
    st.lists(st.integers(0, LEVELS - 1), min_size=1, max_size=60),
    st.lists(st.integers(1, LEVELS), min_size=1, max_size=len(RATES)),
)
def test_a_byte_says_of_every_threshold_whether_the_score_reaches_it(
    scores: list[int], thresholds: list[int]
) -> None:
    cuts = _cuts(thresholds, max(1, *scores))
    assert len(cuts) <= 255
    codes = np.searchsorted(cuts, scores, side="right")
    for threshold, code in zip(thresholds, _codes_at(cuts, thresholds), strict=True):
        assert ((codes >= code) == (np.array(scores) >= threshold)).all()


def test_maps_that_differ_from_those_of_the_run_are_told(
    ran: SimpleNamespace, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(ran.results.folder, folder)
    cell = next(c for c in ran.results.cells if c.spec.method == "thresholding")
    file = folder / str(cell.histograms)
    histograms = load_histograms(file)
    save_histograms(file, {**histograms, "patient11/slice": histograms["patient12/slice"]})
    results = ub.Results(folder, (cell,), plugin=(ran.plugin,))
    page = results.report(tmp_path / "page.html", cache=ran.cache, progress=False)
    assert "differ from those of the run" in page.read_text("utf-8")
