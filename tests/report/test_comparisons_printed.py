"""A comparison says the same in every format."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from compared_cells import HIGH, LOW, cell, results

from uad_bench.cli import main
from uad_bench.report.tables.formats.names import FORMATS


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_says_the_same(tmp_path, form, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results(tmp_path, cell("spa", HIGH, simulated=True), cell("vae", LOW, simulated=True))
    assert main(["compare", "spa", "vae", "-f", form]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "0.008" in text or "0.0078125" in text
    if form == "csv":
        (line,) = csv.DictReader(io.StringIO(text.replace(" ", "\n")))
        assert line["p_holm"] == "0.0078125"
    else:
        assert "SPA is better than VAE" in text
        assert "simulated" in text
    assert main(["compare", "spa", "vae", "-f", form, "-o", "out.txt"]) == 0
    assert " ".join(Path("out.txt").read_text(encoding="utf-8").split()) == text


def test_html_shows_names_as_they_are(tmp_path):
    found = results(tmp_path, cell("spa", HIGH), cell("<b>", LOW)).compare("spa", "<b>")
    assert "&lt;b&gt;" in found._repr_html_()
    assert "<b>" not in found._repr_html_()


def test_names_may_have_commas_between_them_as_everywhere(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results(tmp_path, cell("spa", HIGH), cell("vae", LOW))
    assert main(["compare", "spa,vae"]) == 0
    once = capsys.readouterr().out
    assert main(["compare", "spa", "vae"]) == 0
    assert capsys.readouterr().out == once


def test_latex_has_minus_signs_and_nothing_is_scaled(tmp_path):
    both = results(tmp_path, cell("spa", LOW), cell("vae", HIGH))
    text = both.compare("spa", "vae").latex()
    assert "resizebox" not in text
    assert "$-$0." in text
    assert "--" not in text.replace("-{}-", "")
