"""Protects: `compare` and `strata` say what the numbers allow, of whom, and refuse the rest."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_cells import made_cell, made_use

import uad_bench as ub
from uad_bench.cells import CellRecord, ScanTraits
from uad_bench.cli import main
from uad_bench.discovery.people.traits import PersonTraits, age_band, read_traits
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision
from uad_bench.evaluation.statistics.intervals import mean_interval
from uad_bench.evaluation.statistics.people import holm
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.histogram_files import save_histograms
from uad_bench.phantom.layouts import write_layout
from uad_bench.plugins.registry import open_registry
from uad_bench.report.plots.catalogue import FIGURES
from uad_bench.report.plots.source import make_source
from uad_bench.report.plots.style import styled
from uad_bench.report.statistics.chosen import Question
from uad_bench.report.statistics.ranks import ranked_methods
from uad_bench.report.tables.formats.names import FORMATS
from uad_bench.results import ResultsFolder, write_cell

PROTOCOLS = {"strict": STRICT, "paper": PAPER}


def cell(
    method: str,
    values: Sequence[float | None],
    *,
    dataset: str = "mslub",
    seed: int = 0,
    metric: str = "auprc",
    protocol: str = "strict",
    post: str = "none",
    manifest: str = "m",
    reason: str = "",
    params: Mapping[str, Any] | None = None,
    simulated: bool = False,
    on: str = "",
) -> CellRecord:
    better = PROTOCOLS[protocol].metric(metric).better
    known = [value for value in values if value is not None]
    whole = Metric(
        value=float(np.mean(known)) if known else None,
        better=better,
        subjects=len(known) if protocol == "strict" else 0,
    )
    return made_cell(
        method,
        dataset,
        protocol=protocol,
        post=post,
        seed=seed,
        on=on,
        supervised=bool(on),
        params=dict(params or {}),
        reason=reason,
        protocol_version=PROTOCOLS[protocol].version,
        data=made_use(dataset, len(values), manifest_hash=manifest, simulated=simulated),
        metrics={metric: whole, "patient_auroc": Metric(value=0.9, subjects=8)},
        scans=tuple(
            ScanScores(subject=f"p{at}", metrics={metric: value}) for at, value in enumerate(values)
        ),
    )


def results(tmp_path: Path, *cells: CellRecord) -> ub.Results:
    folder = ResultsFolder(tmp_path / "results")
    for one in cells:
        write_cell(folder, one)
    return ub.load_results(folder.root)


LOW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.35, 0.25]
HIGH = [value + 0.1 + 0.01 * at for at, value in enumerate(LOW)]


def test_a_clear_difference_is_claimed_in_words(tmp_path):
    found = results(tmp_path, cell("spa", HIGH), cell("vae", LOW)).compare("spa", "vae")
    frame = found.to_frame()
    assert len(frame) == 1
    line = frame.iloc[0]
    assert (line.subjects, line.first_better, line.second_better, line.effect) == (8, 8, 0, 1.0)
    assert line.difference == pytest.approx(np.mean(HIGH) - np.mean(LOW))
    assert line.p == line.p_holm == line.p_least == pytest.approx(2.0**-7)
    assert line.low < line.difference < line.high
    (said,) = found.sentences
    assert "SPA is better than VAE" in said
    assert "p = 0.008" in said
    assert "means over 8 subjects" in said


def test_swapping_the_methods_turns_the_signs_and_keeps_the_claim(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW))
    one, other = (both.compare(*names) for names in (("spa", "vae"), ("vae", "spa")))
    first, second = one.to_frame().iloc[0], other.to_frame().iloc[0]
    assert first.difference == pytest.approx(-second.difference)
    assert (first.low, first.high) == pytest.approx((-second.high, -second.low))
    assert first.p == second.p
    assert first.probability_better == pytest.approx(1 - second.probability_better)
    assert "SPA is better than VAE" in other.sentences[0]


def test_a_mean_that_one_subject_decides_is_said_not_to_be_the_rule(tmp_path):
    turned = [value + 0.01 for value in LOW[:7]] + [LOW[7] - 0.2]
    more = [cell("spa", turned * 3), cell("vae", LOW * 3)]
    (said,) = results(tmp_path, *more).compare("spa", "vae").sentences
    assert "SPA is better than VAE for most subjects, although not on average" in said


def test_less_is_better_where_the_metric_says_so(tmp_path):
    cells = [cell("spa", HIGH, metric="hd95"), cell("vae", LOW, metric="hd95")]
    found = results(tmp_path, *cells).compare("spa", "vae", metric="hd95")
    line = found.to_frame().iloc[0]
    assert line.difference > 0 > line.effect
    assert line.probability_better < 0.05
    assert "VAE is better than SPA" in found.sentences[0]


def test_all_p_values_shown_are_corrected_together(tmp_path):
    cells = [
        cell(method, values, dataset=dataset)
        for dataset in ("mslub", "wmh")
        for method, values in (("spa", HIGH), ("vae", LOW), ("gmvae", LOW[::-1]))
    ]
    found = results(tmp_path, *cells).compare("spa", "vae", "gmvae")
    frame = found.to_frame()
    assert list(frame.dataset) == ["mslub", "wmh", "all"] * 2
    assert list(frame.p_holm) == pytest.approx(holm(list(frame.p)))
    assert "Holm's correction for 6 comparisons" in str(found).replace("\n", " ")
    assert (frame.p_least <= frame.p_holm + 1e-12).all()


def test_too_few_subjects_are_said_to_be_too_few(tmp_path):
    cells = [cell("spa", HIGH[:4]), cell("vae", LOW[:4])]
    found = results(tmp_path, *cells).compare("spa", "vae")
    assert "too few to claim a difference" in found.sentences[0]
    assert "p would be 0.125" in found.sentences[0]
    assert "It takes 6 or more" in found.sentences[0]


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_subjects_have_a_difference_and_no_interval(tmp_path, count):
    cells = [cell("spa", HIGH[:count]), cell("vae", LOW[:count])]
    line = results(tmp_path, *cells).compare("spa", "vae").to_frame().iloc[0]
    assert line.difference > 0
    assert np.isnan(line.low)
    assert line.p == 2.0 ** (1 - count)


def test_subjects_that_one_method_lacks_are_dropped_in_pairs_and_counted(tmp_path):
    lacking = [None, *HIGH[1:]]
    found = results(tmp_path, cell("spa", lacking), cell("vae", LOW[:7])).compare("spa", "vae")
    line = found.to_frame().iloc[0]
    assert (line.subjects, line.dropped) == (6, 2)
    assert line.difference == pytest.approx(np.mean(HIGH[1:7]) - np.mean(LOW[1:7]))
    assert "2 of 8 subjects" in str(found).replace("\n", " ")


def test_seeds_are_averaged_and_widen_the_interval(tmp_path):
    steady = results(tmp_path / "a", cell("spa", HIGH), cell("vae", LOW))
    shaky = results(
        tmp_path / "b",
        *(cell("spa", [v + e for v in HIGH], seed=s) for s, e in enumerate((-0.2, 0.0, 0.2))),
        cell("vae", LOW),
    )
    one, three = (r.compare("spa", "vae").to_frame().iloc[0] for r in (steady, shaky))
    assert three.difference == pytest.approx(one.difference)
    assert three.first_seeds == 3
    assert three.high - three.low > 3 * (one.high - one.low)
    assert "One seed of SPA, VAE" in str(steady.compare("spa", "vae"))
    assert "One seed of VAE:" in str(shaky.compare("spa", "vae"))


def test_a_failed_cell_is_left_out_and_named(tmp_path):
    cells = [
        cell("spa", HIGH),
        cell("vae", LOW),
        cell("vae", [], dataset="wmh", reason="the loss diverged"),
        cell("spa", HIGH, dataset="wmh"),
    ]
    found = results(tmp_path, *cells).compare("spa", "vae")
    assert list(found.to_frame().dataset) == ["mslub"]
    text = str(found).replace("\n", " ")
    assert "no subject in common on WMH" in text
    assert "VAE failed on WMH with seed 0: the loss diverged" in text


def test_a_pooled_metric_is_compared_by_what_each_subject_adds(tmp_path):
    rng, folder, stored = np.random.default_rng(0), tmp_path / "results", []
    pooled = {}
    for method, contrast in (("spa", 25), ("vae", 5)):
        people = {}
        for at in range(6):
            lesion = (rng.random(300) < 0.2).astype(np.uint8)
            scores = (rng.integers(0, 60, 300) + contrast * lesion).astype(np.uint16)
            people[f"p{at}/slice"] = ScoreHistogram.of(scores, lesion)
        save_histograms(folder / "histograms" / f"{method}.npz", people)
        record = cell(method, [0.1] * 6, protocol="paper")
        stored.append(record.model_copy(update={"histograms": f"histograms/{method}.npz"}))
        pooled[method] = average_precision(ScoreHistogram.pooled(people.values()))
    found = results(tmp_path, *stored).compare("spa", "vae")
    line = found.to_frame().iloc[0]
    assert line.difference == pytest.approx(pooled["spa"] - pooled["vae"])
    assert line.low > 0
    assert line.p < 0.01
    assert "pooled over 6 subjects" in found.sentences[0]


@pytest.mark.parametrize(
    ("people", "patients", "said"),
    [
        (1, 1, "on MSLUB: they have one subject in common, and a pooled number needs two."),
        (3, 1, "on MSLUB: no subject or one alone has lesions, and without them a pooled number"),
    ],
)
def test_a_pooled_metric_of_one_patient_says_why_it_is_not_compared(
    tmp_path, people, patients, said
):
    """It said that they have no subject in common, and to evaluate both on the same dataset."""
    rng, folder, stored = np.random.default_rng(0), tmp_path / "results", []
    for method in ("spa", "vae"):
        found = {}
        for at in range(people):
            lesion = ((rng.random(300) < 0.2) * (at < patients)).astype(np.uint8)
            scores = rng.integers(0, 60, 300).astype(np.uint16)
            found[f"p{at}/slice"] = ScoreHistogram.of(scores, lesion)
        save_histograms(folder / "histograms" / f"{method}.npz", found)
        record = cell(method, [0.1] * people, protocol="paper")
        stored.append(record.model_copy(update={"histograms": f"histograms/{method}.npz"}))
    with pytest.raises(UadBenchError, match=said):
        results(tmp_path, *stored).compare("spa", "vae")


def test_seeds_that_differ_between_datasets_are_said_to_leave_out_the_line_over_all(tmp_path):
    cells = [cell(name, values, dataset=dataset, seed=seed)
             for name, values in (("spa", HIGH), ("vae", LOW))
             for dataset, seed in (("mslub", 0), ("wmh", int(name == "spa")))]  # fmt: skip
    found = results(tmp_path, *cells).compare("spa", "vae")
    assert set(found.to_frame().dataset) == {"mslub", "wmh"}
    assert (
        "SPA finished on all of these datasets with no seed (MSLUB: 0; WMH: 1), so that it is not "
        "compared over them together. Run the same --seeds on each."
    ) in found.listing.notes
    assert "VAE finished" not in str(found)


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("spa",), "two methods or more"),
        (("spa", "vea"), "did you mean vae"),
        (("spa", "nothing", "never"), "nothing: no such method.*never: no such method"),
        (("spa", "spa"), "named twice"),
    ],
)
def test_wrong_methods_are_one_line(tmp_path, words, message):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW))
    with pytest.raises(UadBenchError, match=message):
        both.compare(*words)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "dise"}, "--metric dise: not in the results"),
        ({"metric": "patient_auroc"}, "of which no single one has a share; available: auprc"),
        ({"datasets": "mslup"}, "--datasets mslup"),
        ({"protocol": "paper"}, "--protocol paper: not in these results"),
        ({"space": "native"}, "no results in native space"),
        ({"postprocessing": "star"}, "--postprocessing star"),
        ({"postprocessing": "none,star"}, "--postprocessing none,star: say one, of none"),
    ],
)
def test_wrong_words_are_one_line(tmp_path, options, message):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW))
    with pytest.raises(UadBenchError, match=message):
        both.compare("spa", "vae", **options)


def test_methods_that_reach_the_same_are_said_to(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", HIGH))
    assert "No subject has a difference." in both.compare("spa", "vae").sentences[0]


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


def test_different_data_do_not_compare(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW, manifest="other"))
    with pytest.raises(UadBenchError, match=r"different data .*mslub"):
        both.compare("spa", "vae")


def taught(values: Sequence[float], **more: Any) -> CellRecord:
    """A U-Net that learned from MSLUB, and was tested on the rest of it."""
    return cell("unet", values, on="mslub", manifest="part", **more)


def test_a_method_is_not_compared_on_what_a_supervised_one_learned_from(tmp_path):
    others = [cell("vae", LOW, dataset=name) for name in ("mslub", "wmh")]
    alone = results(tmp_path / "alone", others[0], taught(HIGH[:3]))
    with pytest.raises(UadBenchError) as caught:
        alone.compare("unet", "vae")
    assert str(caught.value) == (
        "U-Net (MSLUB) and VAE are not compared on MSLUB: U-Net (MSLUB) is supervised, learned "
        "from it, and was tested on 3 of 8 subjects. Evaluate both on a dataset that it did not "
        "learn from"
    )
    elsewhere = cell("unet", HIGH, on="mslub", dataset="wmh")
    found = results(tmp_path / "both", *others, taught(HIGH[:3]), elsewhere).compare("unet", "vae")
    assert found.to_frame().dataset.tolist() == ["wmh"]
    text = " ".join(str(found).split())
    assert "not compared on MSLUB" in text
    assert "no subject in common" not in text


def test_who_saw_masks_and_who_is_no_detector_is_said(tmp_path):
    """A table marks them in its heads; a sentence with a p-value had no word of it."""
    elsewhere = cell("unet", HIGH, on="mslub", dataset="wmh")
    black = cell("black", LOW[::-1], dataset="wmh").model_copy(update={"control": True})
    folder = results(tmp_path, elsewhere, cell("vae", LOW, dataset="wmh"), black)
    notes = folder.compare("unet", "vae", "black").listing.notes
    assert "Supervised, which saw lesion masks in training: U-Net (MSLUB)." in notes
    assert "Controls, which are no detectors: black." in notes
    plain = folder.compare("vae", "black").listing.notes
    assert not any("masks" in note for note in plain)


def test_seeds_that_learned_from_different_data_are_told(tmp_path):
    learned = [made_use("hi", manifest_hash=name) for name in ("one", "two")]
    cells = [
        cell("spa", HIGH, seed=seed).model_copy(update={"training": training})
        for seed, training in enumerate(learned)
    ]
    found = results(tmp_path, *cells, cell("vae", LOW)).compare("spa", "vae")
    (said,) = [note for note in found.listing.notes if "different data" in note]
    assert said.startswith("SPA: Its seeds learned from different data (manifests one, two)")


def test_two_supervised_methods_with_the_same_test_part_are_compared(tmp_path):
    one, other = (taught(values, params={"w": w}) for w, values in ((1, LOW), (2, HIGH)))
    both = results(tmp_path, one, other, cell("vae", LOW))
    words = (f"unet-{some.spec.params_hash}" for some in (other, one))
    assert both.compare(*words).to_frame().iloc[0].difference > 0


def test_test_parts_that_differ_do_not_compare(tmp_path):
    one, other = (taught(values, params={"w": w}) for w, values in ((1, LOW), (2, HIGH)))
    assert one.data is not None
    moved = one.model_copy(update={"data": one.data.model_copy(update={"manifest_hash": "moved"})})
    both = results(tmp_path, moved, other)
    words = (f"unet-{some.spec.params_hash}" for some in (other, one))
    with pytest.raises(UadBenchError, match=r"different data .*mslub .*moved.*part"):
        both.compare(*words)


def test_methods_without_a_dataset_in_common_are_refused(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW, dataset="wmh"))
    with pytest.raises(UadBenchError, match="no subject with AUPRC in common"):
        both.compare("spa", "vae")


def test_a_pooled_metric_is_not_compared_without_histograms(tmp_path):
    both = results(tmp_path, *(cell(m, v, protocol="paper") for m, v in (("a", HIGH), ("b", LOW))))
    with pytest.raises(UadBenchError, match="has no histograms, which auprc is compared by"):
        both.compare("a", "b")


def test_a_failure_that_leaves_nothing_to_compare_says_why(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW, reason="out of memory"))
    with pytest.raises(UadBenchError, match=r"common: VAE failed on .* seed 0: out of memory$"):
        both.compare("spa", "vae")
    none = results(tmp_path / "none", *(cell(m, LOW, reason="out of memory") for m in ("a", "b")))
    with pytest.raises(UadBenchError, match="no cell of protocol strict has a number: out of mem"):
        none.compare("a", "b")


def test_a_method_of_another_protocol_is_missed_in_the_one_that_is_compared(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW, protocol="paper"))
    with pytest.raises(UadBenchError, match="under protocol strict with post-processing none; av"):
        both.compare("spa", "vae")


def test_a_method_with_two_sets_of_parameters_is_named_by_its_hash(tmp_path):
    one, other = (cell("vae", values, params={"beta": b}) for b, values in ((1, LOW), (2, HIGH)))
    both = results(tmp_path, one, other)
    with pytest.raises(UadBenchError, match=f"vae-{one.spec.params_hash}"):
        both.compare("vae", "vae")
    words = (f"vae-{some.spec.params_hash}" for some in (other, one))
    assert both.compare(*words).to_frame().iloc[0].difference > 0


def test_a_command_without_results_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "spa", "vae"]) == 2
    assert capsys.readouterr().err.startswith("error: no results in results")


VALUES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


def grouped(record: CellRecord, **traits: Sequence[Any]) -> CellRecord:
    """The record with traits of its scans, one per scan."""
    rows = [dict(zip(traits, row, strict=True)) for row in zip(*traits.values(), strict=True)]
    made = tuple(
        ScanTraits(
            subject=scan.subject, session=scan.session, **{"lesion_ml": 2.0, "lesions": 3} | row
        )
        for scan, row in zip(record.scans, rows, strict=True)
    )
    return record.model_copy(update={"traits": made})


def test_a_group_has_the_mean_and_the_interval_of_its_subjects(tmp_path):
    record = grouped(cell("spa", VALUES), sex=["female"] * 5 + ["male"] * 3)
    found = results(tmp_path, record).strata("sex", fewest=3)
    women, men = found.to_frame().itertuples()
    assert (women.group, women.subjects) == ("female", 5)
    assert women.value == pytest.approx(0.3)
    interval = mean_interval(VALUES[:5], "share")
    assert interval is not None
    assert (women.low, women.high) == pytest.approx((interval.low, interval.high))
    assert (men.group, men.subjects) == ("male", 3)
    assert np.isnan(men.low)


def test_groups_say_who_was_tested_on_a_part(tmp_path):
    sites = {"site": ["a"] * 8}
    whole = grouped(cell("vae", VALUES), **sites)
    part = grouped(taught(VALUES[:5]), site=["a"] * 5)
    found = results(tmp_path, whole, part).strata(by="site")
    assert found.to_frame().subjects.tolist() == [8, 5]
    assert "U-Net (MSLUB) on 5 of 8 subjects of MSLUB." in " ".join(str(found).split())


def test_a_small_group_shows_neither_its_number_nor_its_people(tmp_path):
    record = grouped(cell("spa", VALUES), site=["A"] * 5 + ["B"] * 3)
    found = results(tmp_path, record).strata("site")
    shown, hidden = found.to_frame().itertuples()
    assert shown.value == pytest.approx(0.3)
    assert np.isnan(hidden.value)
    assert np.isnan(hidden.subjects)
    assert "<5" in str(found)
    assert "fewer than 5 subjects are not shown" in str(found).replace("\n", " ")


def test_lesions_are_grouped_in_order_of_size_scan_by_scan(tmp_path):
    scans = tuple(
        ScanScores(subject="one", session=str(at), metrics={"auprc": value})
        for at, value in enumerate((0.2, 0.4, 0.6))
    )
    record = cell("spa", VALUES[:3]).model_copy(update={"scans": scans})
    record = grouped(record, lesion_ml=[30.0, 0.5, 0.9], lesions=[1, 40, 0])
    folder = results(tmp_path, record)
    volume = folder.strata("lesion-volume", fewest=1).to_frame()
    assert list(volume.group) == ["below 1 ml", "20 ml and more"]
    assert list(volume.value) == pytest.approx([0.5, 0.2])
    assert list(volume.subjects) == [1, 1]
    count = folder.strata("lesion-count", fewest=1).to_frame()
    assert list(count.group) == ["no lesion", "1", "21 and more"]


def test_seeds_are_averaged_and_controls_left_out(tmp_path):
    cells = [
        grouped(cell("spa", [v + e for v in VALUES], seed=s), age=["60 to 79"] * 8)
        for s, e in enumerate((-0.1, 0.1))
    ]
    control = grouped(cell("random", VALUES), age=["60 to 79"] * 8)
    control = control.model_copy(update={"control": True})
    folder = results(tmp_path, *cells, control)
    (line,) = folder.strata("age").to_frame().itertuples()
    assert line.value == pytest.approx(np.mean(VALUES))
    assert set(folder.strata("age", methods="spa,random").to_frame().method) == {"SPA", "random"}


def test_no_site_is_a_formula_in_a_spreadsheet(tmp_path):
    record = grouped(cell("spa", VALUES), site=['=cmd|"/c calc"!A1'] * 8)
    found = results(tmp_path, record).strata("site")
    (line,) = csv.DictReader(io.StringIO(found.csv()))
    assert line["group"] == '\'=cmd|"/c calc"!A1'
    assert float(line["value"]) == pytest.approx(np.mean(VALUES))
    assert found.to_frame().group.tolist() == ['=cmd|"/c calc"!A1']


def test_people_whom_nobody_describes_are_counted(tmp_path):
    record = grouped(cell("spa", VALUES), site=["A"] * 6 + [None] * 2)
    found = results(tmp_path, record).strata("site")
    assert "2 subjects in no group" in str(found).replace("\n", " ")


@pytest.mark.parametrize(
    ("by", "options", "message"),
    [
        ("shoes", {}, "--by shoes: unknown; available: site, scanner, age"),
        ("sex", {}, "not stated of any scan; name it in the column 'sex'"),
        ("site", {"metric": "patient_auroc"}, "no single one has a share"),
        ("site", {"fewest": 0}, "--fewest 0"),
        ("site", {"methods": "vea"}, "vea: no such method"),
    ],
)
def test_what_cannot_be_shown_is_one_line(tmp_path, by, options, message):
    record = grouped(cell("spa", VALUES), site=["A"] * 8)
    with pytest.raises(UadBenchError, match=message):
        results(tmp_path, record).strata(by, **options)


def test_a_pooled_metric_has_no_groups(tmp_path):
    record = grouped(cell("spa", VALUES, protocol="paper"), site=["A"] * 8)
    with pytest.raises(UadBenchError, match="--metric auprc: a number of all subjects together"):
        results(tmp_path, record).strata("site")


def test_cells_from_before_groups_are_named(tmp_path):
    with pytest.raises(UadBenchError, match="computed before results had groups"):
        results(tmp_path, cell("spa", VALUES)).strata("site")


def test_the_command_writes_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results(tmp_path, grouped(cell("spa", VALUES), site=["A"] * 8))
    assert main(["strata", "--by", "site", "-f", "csv", "-o", "strata.csv"]) == 0
    assert Path("strata.csv").read_text(encoding="utf-8").startswith("dataset,simulated,by,group")
    assert main(["strata", "--by", "shoes"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_scans_as_a_frame_say_their_groups(tmp_path):
    record = grouped(cell("spa", VALUES), site=["A"] * 4 + ["B"] * 4, lesion_ml=range(8))
    frame = results(tmp_path, record).scans()
    assert list(frame.site) == ["A"] * 4 + ["B"] * 4
    assert list(frame.lesion_ml) == list(range(8))


def test_participants_say_who_somebody_is_without_an_exact_age(tmp_path):
    text = (
        "participant_id\tAge\tSex\tSite\tScanner\n"
        "sub-1\t34.5\tF\tOslo\tSkyra\n"
        "sub-2\t89+\tmale\tn/a\t\n"
        "sub-3\tadult\t2\tOslo\tTrio\n"
    )
    (tmp_path / "participants.tsv").write_text(text, encoding="utf-8")
    assert read_traits(tmp_path) == {
        "sub-1": PersonTraits("Oslo", "Skyra", "below 40", "female"),
        "sub-2": PersonTraits(None, None, "80 and more", "male"),
        "sub-3": PersonTraits("Oslo", "Trio", None, None),
    }
    levels = '{"Sex": {"Levels": {"2": "female"}}}'
    (tmp_path / "participants.json").write_text(levels, encoding="utf-8")
    assert read_traits(tmp_path)["sub-3"].sex == "female"


def test_nobody_is_described_without_a_table(tmp_path):
    assert read_traits(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "band"),
    [
        *(("0", "below 40"), ("39.9", "below 40"), ("40", "40 to 59"), ("80 y", "80 and more")),
        *(("131", None), ("-3", None), ("6O", None), ("", None), ("72,5 years", "60 to 79")),
    ],
)
def test_an_age_is_in_one_band(text, band):
    assert age_band(text) == band


@pytest.mark.slow
def test_a_run_writes_what_people_and_masks_say(tmp_path, monkeypatch, lab, brains):
    monkeypatch.chdir(tmp_path)
    write_layout("msi", tmp_path / "data" / "MSI", brains[:1])
    shutil.copytree(lab / "HI", tmp_path / "data" / "HI")
    table = tmp_path / "data" / "MSI" / "participants.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    described = [f"{line}\t{word}" for line, word in zip(lines, ("sex", "F"), strict=True)]
    table.write_text("\n".join(described) + "\n", encoding="utf-8")
    ran = ub.run("thresholding", "msi", data_root="data", controls=[], mlflow=False, progress=False)
    record = next(one for one in ran.cells if one.spec.method == "thresholding")
    (traits,) = record.traits
    assert traits.sex == "female"
    assert traits.lesion_ml == pytest.approx(brains[0].lesion.sum() * 4.0**3 / 1000, rel=0.2)
    assert traits.lesions == 1


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
