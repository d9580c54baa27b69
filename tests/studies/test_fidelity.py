"""The fidelity study: it measures through the front door, and its page says what records say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uad_bench as ub
from studies.fidelity import answers, arms, effects, measure, notation, page, records
from studies.fidelity.__main__ import app
from studies.fidelity.data import StudyData
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.latent import TISSUES
from uad_bench.phantom.layouts import write_layout

Verdict = effects.Verdict
NAN = float("nan")


def values(table: Any, seeds: tuple[int, ...] = (0, 1)) -> pd.DataFrame:
    people = [f"p{at}" for at in range(len(table))]
    return pd.DataFrame(np.array(table, dtype=np.float64), index=people, columns=list(seeds))


@pytest.mark.parametrize(
    ("low", "high", "people", "seeds", "wanted"),
    [
        (0.01, 0.2, 6, 3, "yes"),
        (-0.2, -0.01, 6, 3, "no"),
        (-0.1, 0.2, 6, 3, "unclear"),
        (0.0, 0.2, 6, 3, "unclear"),
        (0.1, 0.2, 2, 3, "unclear"),
        (0.1, 0.2, 6, 1, "unclear"),
        (0.1, 0.2, 4, 0, "yes"),
        (None, None, 6, 3, "unclear"),
    ],
)
def test_a_verdict_needs_a_whole_interval_enough_people_and_two_seeds(
    low: float | None, high: float | None, people: int, seeds: int, wanted: str
) -> None:
    found = effects.Estimate(0.1, low, high, people, seeds, people)
    assert effects.verdict(found) == wanted


def test_a_verdict_counts_from_the_limit_and_without_results_there_is_none() -> None:
    found = effects.Estimate(0.3, 0.2, 0.4, 6, 3, 6)
    assert effects.verdict(found, 0.1) == "yes"
    assert effects.verdict(found, 0.3) == "unclear"
    assert effects.verdict(found, 0.5) == "no"
    assert effects.verdict(None) == "not run"
    assert effects.opposite(effects.verdict(found, 0.5)) == "yes"
    assert effects.opposite(Verdict.UNCLEAR) == "unclear"


def test_verdicts_are_only_one_where_all_agree() -> None:
    assert effects.all_of([Verdict.YES, Verdict.YES]) == "yes"
    assert effects.all_of([Verdict.NO, Verdict.NO]) == "no"
    assert effects.all_of([Verdict.YES, Verdict.NO]) == "unclear"
    assert effects.all_of([Verdict.YES, Verdict.NOT_RUN]) == "unclear"
    assert effects.all_of([Verdict.NOT_RUN, Verdict.NOT_RUN]) == "not run"


def test_differences_are_paired_by_person_and_seed() -> None:
    first = pd.DataFrame([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], index=list("abc"), columns=[0, 1, 2])
    second = pd.DataFrame([[1.0, 2], [3, 4]], index=list("ca"), columns=[2, 0])
    less = effects.difference(first, second)
    assert list(less.index) == ["a", "c"]
    assert list(less.columns) == [0, 2]
    np.testing.assert_array_equal(less, [[1 - 4, 3 - 3], [7 - 2, 9 - 1]])


def test_what_no_seed_changes_is_compared_with_every_seed() -> None:
    trained = values([[1.0, 3.0], [2.0, 2.0]], (0, 2))
    fixed = values([[1.0], [0.5]], (effects.FIXED,))
    np.testing.assert_array_equal(effects.difference(trained, fixed), [[0, 2], [1.5, 1.5]])
    np.testing.assert_array_equal(effects.difference(fixed, trained), [[0, -2], [-1.5, -1.5]])
    assert effects.estimate(effects.difference(fixed, fixed)).seeds == 0


def test_arms_without_a_common_seed_or_person_have_no_difference() -> None:
    one, other = values([[1.0], [2.0]], (0,)), values([[1.0], [2.0]], (1,))
    assert effects.difference(one, other) is None
    assert effects.difference(one, None) is None
    assert effects.difference(one, one.rename(lambda name: f"not {name}")) is None
    assert effects.stacked([one, other]) is None
    assert effects.stacked([one, None]) is None


def test_the_mean_is_over_people_of_their_means_over_seeds() -> None:
    found = effects.estimate(values([[1.0, NAN], [0.0, 0.5], [NAN, NAN]]))
    assert found.mean == pytest.approx((1.0 + 0.25) / 2)
    assert (found.people, found.seeds, found.above) == (2, 2, 2)
    assert effects.estimate(values([[NAN, NAN]])) is None
    assert effects.estimate(None) is None


def test_the_interval_resamples_people_and_seeds() -> None:
    by_seed = effects.estimate(values([[0.0, 1.0]] * 8))
    by_person = effects.estimate(values([[0.0, 0.0], [1.0, 1.0]]))
    neither = effects.estimate(values([[0.3, 0.3]] * 8))
    assert (by_seed.low, by_seed.high) == (0.0, 1.0)
    assert (by_person.low, by_person.high) == (0.0, 1.0)
    assert neither.low == pytest.approx(0.3)
    assert neither.high == pytest.approx(0.3)
    assert effects.estimate(values([[0.2, 0.4]])).low is None


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 99))
def test_an_interval_is_the_same_every_time_and_moves_with_the_numbers(
    people: int, seeds: int, seed: int
) -> None:
    table = np.random.default_rng(seed).uniform(size=(people, seeds))
    names = tuple(range(seeds))
    once, again, moved = (
        effects.estimate(values(one, names)) for one in (table, table, 2 * table + 1)
    )
    assert once == again
    assert table.min() - 1e-9 <= once.low <= once.mean <= once.high <= table.max() + 1e-9
    assert moved.low == pytest.approx(2 * once.low + 1)
    assert moved.high == pytest.approx(2 * once.high + 1)


def test_single_stars_show_and_emphasis_stays() -> None:
    assert notation.escaped("SPA* less raw*3D: **+0.1**") == r"SPA\* less raw\*3D: **+0.1**"


# A small study: two real and two simulated datasets, four unseen healthy people.

PATIENTS = {"mslub": 2, "brats": 4, "wmh (simulated)": 3, "gbi (simulated)": 2}
SIDE = 24

Auprc = Callable[[str, int], float]


def people(dataset: str) -> list[str]:
    count = PATIENTS.get(dataset, 4 if dataset == "unseen" else 0)
    return [f"{dataset[:2]}{at}" for at in range(count)]


def write_facts(folder: Path, **changes: Any) -> None:
    """Data whose atlas finds every tissue, and whose second BraTS patient is cut."""
    patient = {"lesion_ml": 4.0, "saturated": 0.5, "coverage": 0.99}
    known = {name: dict.fromkeys(people(name), patient) for name in PATIENTS}
    known["brats"]["br1"] = {**patient, "lesion_ml": 40.0, "coverage": 0.5}
    names = [f"{tissue}{told}" for tissue in TISSUES for told in ("", "told")]
    facts = {
        "hash": "5555", "shape": [SIDE, SIDE], "spacing": [2.0, 1.5, 1.5],
        "people": {"train": 1, "validation": 1}, "slices": 400, "patients": known,
        "atlas": {one: dict.fromkeys(names, 1.0) for one in people("unseen")},
        "lesion_free": {}, "distance": [1.0, 20.0, 40.0, 40.0], "flat_l1": 0.05,
        "label_maps": {"one.nii.gz": 700, "two.nii.gz": 0},
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "data.json").write_text(json.dumps(facts | changes))


def write_examples(folder: Path) -> None:
    """The slices that pictures show; without them none is drawn."""
    image = np.zeros((SIDE, SIDE), np.float16)
    image[4:20, 4:20] = 0.5
    lesion = np.zeros_like(image)
    lesion[8:12, 8:12] = 1
    shown = [f"{name}/{one}" for name in PATIENTS for one in people(name)[:2]]
    arrays = {f"{key}/image": image for key in shown} | {f"{key}/lesion": lesion for key in shown}
    np.savez(folder / "data.npz", **arrays)


def write_record(
    folder: Path,
    arm: str,
    seed: int,
    auprc: Auprc,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """A result whose metrics are all ``auprc(dataset, patient)``, with pictures."""
    steps = 400 if arms.BY_NAME[arm].longer else 0
    names = [f"{name}{mark}" for name in ("auprc", "max_dice", "dice") for mark in records.POSTS]
    numbers: dict[str, Any] = {}
    pictures = {}
    for dataset in PATIENTS:
        numbers[dataset] = {
            one: dict.fromkeys(names, auprc(dataset, at))
            | {f"fpr{m}": 0.004 for m in ("", "*", "*3D")}
            for at, one in enumerate(people(dataset))
        }
        for one in people(dataset):
            numbers[dataset][one] |= {"kept": 0.25, "ratio": 15.0} if steps else {}
            pictures[f"{dataset}/{one}/score"] = np.eye(SIDE, dtype=np.float16)
    healthy = {"l1": 0.01, "l1_brain": 0.03, "ssim": 0.9}
    if arm.startswith("spa"):
        healthy |= {"dice_CSF": 0.5, "dice_GM": 0.6, "dice_WM": 0.7, "sum_error": 0.1}
    numbers["unseen"] = dict.fromkeys(people("unseen"), healthy) if steps else {}
    curve = [[step, 0.1 - step * 1e-4] for step in range(20, steps + 1, 20)]
    record = {
        "arm": arm, "seed": seed, "params": {"width": 16, "batch_size": 8} if steps else {},
        "steps": steps, "slices_seen": 8 * steps, "train_s": 10.0, "score_s": 5.0,
        "curves": {"validation_l1": curve} if steps else {}, "numbers": numbers,
        "pooled": {name: dict.fromkeys(records.POSTS, 0.5) for name in PATIENTS},
        "data": "5555", "device": "cpu", "versions": {"torch": "2"}, "commit": "abc1234",
    }  # fmt: skip
    (folder / f"{arm}-s{seed}.json").write_text(json.dumps(record | dict(changes or {})))
    np.savez(folder / f"{arm}-s{seed}.npz", **pictures)


def write_results(folder: Path) -> Path:
    write_facts(folder)
    write_record(folder, "thresholding", 0, lambda *_: 0.4)
    write_record(folder, "spa", 0, lambda _, at: 0.50 + 0.01 * at)
    write_record(folder, "spa", 1, lambda _, at: 0.54 + 0.01 * at)
    write_record(folder, "spa-plain", 1, lambda _, at: 0.44 + 0.02 * at)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of these results."""
    folder = tmp_path_factory.mktemp("fidelity")
    return written(write_results(folder / "results"), folder / "docs")


def written(results: Path, docs: Path, again: Path | None = None) -> str:
    """The page of some results."""
    found = None if again is None else records.read_study(again)
    page.write_page(records.read_study(results), docs, found)
    return (docs / "fidelity.md").read_text()


def rows(text: str, start: str) -> list[list[str]]:
    """Cells of the tables' rows whose first cell is ``start``."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [line[1:] for line in lines if line[0] == start]


def test_every_table_of_the_page_is_whole(text: str) -> None:
    blocks = text.split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("| ")]
    assert len(tables) > 20
    for lines in tables:
        assert set(lines[1]) <= set("| -:"), lines[0]
        assert len({line.count(" |") for line in lines if "| |" not in line}) == 1, lines[0]


def test_ablations_compare_the_seeds_that_both_have(results: Path) -> None:
    study = records.read_study(results)
    brats = study.datasets[1]
    pair = [study.values(arm, brats, "auprc*") for arm in ("spa-plain", "spa")]
    less = effects.difference(*pair)
    assert list(less.columns) == [1]
    np.testing.assert_allclose(less[1], [-0.10, -0.09, -0.08, -0.07])


def test_datasets_come_real_first_and_in_the_papers_order(results: Path) -> None:
    study = records.read_study(results)
    titles = [group.title for group in study.datasets]
    assert titles == ["MSLUB (real)", "BraTS (real)", "WMH (simulated)", "GBI (simulated)"]
    assert [(g.title, g.people) for g in study.kinds] == [
        ("6 real patients", 6), ("5 simulated patients", 5),
    ]  # fmt: skip


def test_thresholding_is_taken_at_its_best_in_every_dataset(results: Path) -> None:
    better = {"mslub": 0.9}
    write_record(results, "thresholding-quantile", 0, lambda label, _: better.get(label, 0.1))
    study = records.read_study(results)
    best = {group.title: answers.best_text(study, group, "max_dice") for group in study.datasets}
    assert best["MSLUB (real)"] == "0.90 quantile"
    assert best["BraTS (real)"] == "0.40 raw"
    less = answers.beyond_thresholding(study, "spa", study.real, "max_dice")
    assert less.mean == pytest.approx(np.mean([-0.38, -0.37, 0.12, 0.13, 0.14, 0.15]))
    assert less.above == 4


def test_the_page_gives_the_results_and_says_what_was_not_run(text: str) -> None:
    spa = rows(text, "SPA")
    dice = [f"{value:.2f} [{value:.2f}, {value:.2f}]" for value in (0.5, 0.6, 0.7, 0.6)]
    assert dice in spa
    assert rows(text, "the atlas prior") == [["1.00 [1.00, 1.00]"] * 4]
    assert rows(text, "SPA less the atlas prior")[0][0] == "**-0.50 [-0.50, -0.50]**"
    assert "above beta 0 (control): not run, above the atlas prior: no" in text
    assert "(i) SPA disentangles the tissues: **unclear**" in text
    assert "against VAE: keeps less **not run**, higher ratio **not run**" in text
    assert ["0.25 [0.25, 0.25]", "15.0 [15.0, 15.0]"] * 2 + ["0.900 [0.900, 0.900]"] in spa
    assert "(iii) SPA > GMVAE > VAE in AUPRC, and SPA\\* > SPA: **unclear**" in text
    assert "1. Normalisation decides more than any network: **not run**" in text
    assert "a black output scores like thresholding: **not run**" in text
    assert "1 of 2 label maps have lesion labels, 0 to 700 voxels" in text
    assert "br1 50 %; the other BraTS patients at least 99 %" in text
    absent = text.split("**Not run**, and therefore in no table: ")[1].splitlines()[0]
    assert "gmvae-plain" in absent
    assert "spa-plain" not in absent
    plain = rows(text, "SPA, no rectangles (1 of 2 seeds)")
    assert plain[0][0].startswith("-0.09 [-0.10, -0.0")
    assert "6 real patients (2 MSLUB and 4 BraTS), 5 _simulated_ patients (3 WMH and 2 GBI)" in text
    assert "Some seeds are missing: SPA, no rectangles (1 of 2 seeds)." in text


def test_the_page_is_the_same_every_time_and_shows_no_real_patient(
    results: Path, tmp_path: Path
) -> None:
    write_examples(results)
    for name in ("one", "two"):
        text = written(results, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    names = ("curves", "gbi-simulated", "wmh-simulated")
    shown = [f"images/fidelity-{name}.png" for name in names]
    assert [str(file) for file in files] == ["fidelity.md", *shown]
    assert all(f"]({name})" in text for name in shown)
    kept = {file.name for file in (results / "pictures").rglob("*.png")}
    assert kept == {"fidelity-brats.png", "fidelity-mslub.png"}
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_other_results_answer_for_normalisation(results: Path, tmp_path: Path) -> None:
    other = results / "percentile"
    write_facts(other, hash="6666")
    changed = {"data": "6666"}
    write_record(other, "thresholding", 0, lambda *_: 0.1, changed)
    for seed in (0, 1):
        write_record(other, "spa", seed, lambda *_: 0.05, changed)
        for arm, value in (("vae", 0.45), ("gmvae", 0.47)):
            write_record(results, arm, seed, lambda *_, value=value: value)
    text = written(results, tmp_path / "docs")
    assert "1. Normalisation decides more than any network: **confirmed**" in text
    assert rows(text, "thresholding, 6 real patients") == [
        ["0.40 [0.40, 0.40]", "0.10 [0.10, 0.10]", "**+0.30 [+0.30, +0.30]**"]
    ]


def test_a_new_detector_gets_its_tables(results: Path, tmp_path: Path) -> None:
    write_record(results, "outlier", 0, lambda _, at: 0.36 + 0.1 * at)
    write_record(results, "outlier-no-prior", 0, lambda _, at: 0.31 + 0.1 * at)
    text = written(results, tmp_path / "docs")
    section = text.split("### outlier against thresholding")[1].split("\n## ")[0]
    brats = rows(section, "BraTS (real), 4")[0]
    assert brats[0] == "0.40 raw"
    assert brats[2].strip("*").startswith("+0.11 [")
    assert brats[3] == "3/4"
    assert rows(section, "6 real patients")[0][3] == "4/6"
    assert "Datasets of 4 in which" in section
    assert "outlier\\*: 4 (" in section
    assert rows(text, "outlier, no prior")[0][0] == "**-0.05 [-0.05, -0.05]**"


def test_the_same_people_measured_again_answer_beside_the_study(
    results: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    write_facts(again)
    for seed in (0, 1):
        write_record(again, "spa", seed, lambda *_: 0.7)
        write_record(results, "spa-tv-1", seed, lambda *_: 0.5)
    text = written(results, tmp_path / "docs", again)
    lead = next(line for line in text.splitlines() if "3. A TV weight of 1" in line)
    assert "**unclear**" in lead
    assert lead.endswith("**not run**.")
    section = text.split("## Again: ")[1].split("\n## ")[0]
    assert ["0.70 [0.70, 0.70]"] * 5 in rows(section, "SPA")
    assert "SPA, TV 1" not in section


def test_results_of_other_data_or_none_are_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match=r"no result: run"):
        records.read_study(tmp_path / "nothing")
    write_record(results, "vae", 0, lambda *_: 0.5, {"data": "7777"})
    with pytest.raises(UadBenchError, match=r"vae-s0\.json was measured on data 7777, not 5555"):
        records.read_study(results)
    write_record(results, "vae", 0, lambda *_: 0.5, {"steps": "many"})
    with pytest.raises(UadBenchError, match=r"vae-s0\.json: steps is not what `run` writes"):
        records.read_study(results)


def test_arms_are_what_their_file_says() -> None:
    size = arms.Size(width=8, slices=64, batch_size=4, learning_rate=1e-3)
    found = arms.BY_NAME["spa-perceptual-softmax"].parameters(size)
    assert found == {
        "width": 8, "batch_size": 4, "learning_rate": 1e-3, "steps": 16,
        "perceptual_weight": 0.1, "latent": "softmax",
    }  # fmt: skip
    assert arms.BY_NAME["vae-long"].parameters(size)["steps"] == 64
    assert arms.BY_NAME["outlier-silent"].parameters(size) == {"faint": 1.0}
    assert arms.BY_NAME["spa-beta-0"].method == "control-no-prior"
    assert arms.BY_NAME["spa-perceptual-beta-1e-4"].base.name == "spa-perceptual"
    assert [arm.name for arm in arms.DETECTORS] == ["outlier"]


# Measuring through the front door.


@pytest.fixture(scope="module")
def lab_data(lab: Path, prepared: Path) -> StudyData:
    """The miniature lab as a study; its healthy people are also the unseen ones."""
    words = {"data_root": lab, "cache": prepared}
    healthy, mslub, wmh = (
        ub.prepare(name, progress=False, **words) for name in ("hi", "mslub", "wmh")
    )
    return StudyData(words, healthy, healthy, {"mslub": mslub}, wmh)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["outlier", "spa"])
def test_a_record_says_what_a_detector_comes_to(
    lab_data: StudyData, tmp_path: Path, arm: str
) -> None:
    data = lab_data
    record = measure.measure(arms.BY_NAME[arm], 3, arms.SIZES["smoke"], data, tmp_path)
    again = records.Record.model_validate_json((tmp_path / f"{arm}-s3.json").read_text())
    assert again == record
    is_spa = arm == "spa"
    assert record.steps == (8 if is_spa else 0)
    assert set(record.numbers["lesion-free"]) == {scan.subject for scan in data.lesion_free.scans}
    numbers = record.numbers["mslub"]
    assert set(numbers) == {"patient11", "patient12", "patient13"}
    for of in numbers.values():
        assert {f"auprc{mark}" for mark in records.POSTS} <= set(of)
        assert ("kept" in of) == is_spa
    assert set(record.numbers["unseen"]) == (
        {f"sub-{n:03}" for n in range(1, 7)} if is_spa else set()
    )
    if not is_spa:  # what a run says of the same detector
        run = ub.run(
            "outlier", "mslub", **data.training, controls=(), seeds=3,
            results=tmp_path / "run", tune=False, mlflow=False, progress=False, overwrite="all",
        )  # fmt: skip
        scans = run.scans().query("postprocessing == 'star'")
        for metric in measure.METRICS:
            of_run = scans[scans.metric == metric].set_index("subject").value
            for subject, value in of_run.items():
                assert numbers[subject][f"{metric}*"] == value


@pytest.mark.slow
def test_the_study_runs_from_nothing(
    lab: Path, real_patients: Path, tmp_path: Path, brains: Any
) -> None:
    root, maps = tmp_path / "data", tmp_path / "maps"
    root.mkdir()
    maps.mkdir()
    (root / "MSLUB").symlink_to(lab / "MSLUB")
    write_layout("brats", root / "BraTS", list(brains))
    for file in sorted((real_patients / "anatomies").glob("*.nii.gz"))[:2]:
        (maps / file.name).symlink_to(file)
    words = ["run", str(tmp_path / "out"), "--anatomies", str(maps), "--data-root", str(root)]
    words += ["--size", "smoke", "--seeds", "0", "--arms", "thresholding,spa"]
    app([*words, "--cache", str(tmp_path / "cache"), "--device", "cpu"], standalone_mode=False)
    text = written(tmp_path / "out", tmp_path / "docs")
    assert "**Size**: width 4, batch 4, 8 steps, that is 32 slices seen per training" in text
    assert len(rows(text, "SPA")) > 5
