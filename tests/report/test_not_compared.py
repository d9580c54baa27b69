"""What `compare` cannot or must not compare is refused or said in one line."""

from __future__ import annotations

import pytest
from compared_cells import HIGH, LOW, cell, results, taught
from made_cells import made_use

from uad_bench.cli import main
from uad_bench.errors import UadBenchError


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


def test_different_data_do_not_compare(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", LOW, manifest="other"))
    with pytest.raises(UadBenchError, match=r"different data .*mslub"):
        both.compare("spa", "vae")


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
