"""What `compare` claims of two methods is what their numbers allow."""

from __future__ import annotations

import numpy as np
import pytest
from compared_cells import HIGH, LOW, cell, results

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision
from uad_bench.evaluation.statistics.people import holm
from uad_bench.histogram_files import save_histograms


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
    assert "may be ahead" not in said
    assert "means over 8 subjects" in said


def test_a_small_p_beside_an_interval_that_holds_0_is_not_all_that_is_said(tmp_path):
    """Ahead for every subject, by trainings that are far apart: another may come out behind."""
    rng = np.random.default_rng(0)
    offsets = {"spa": (0.3, 0.02, 0.04), "vae": (0.0, 0.01, -0.01)}
    found = results(
        tmp_path,
        *(
            cell(method, list(np.add(LOW, rng.normal(offset, 0.003, len(LOW)))), seed=seed)
            for method, given in offsets.items()
            for seed, offset in enumerate(given)
        ),
    ).compare("spa", "vae")
    line = found.to_frame().iloc[0]
    assert line.p_holm < 0.05
    assert line.low < 0 < line.high
    (said,) = found.sentences
    assert "SPA is better than VAE" in said
    assert said.endswith("with others, VAE may be ahead on average.")


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


def test_methods_that_reach_the_same_are_said_to(tmp_path):
    both = results(tmp_path, cell("spa", HIGH), cell("vae", HIGH))
    assert "No subject has a difference." in both.compare("spa", "vae").sentences[0]
