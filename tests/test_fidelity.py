"""The fidelity study: its data survive packing, and its page says what the results say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.dataset import Dataset, DatasetInfo, Scan
from uad_bench.errors import UadBenchError
from uad_bench.method import TissuePrior
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.space import template_brain, template_grid, template_tissues
from uad_bench.volumes.store import prepare as preparation
from uad_bench.volumes.store.prepared import PreparedDataset
from uad_bench.volumes.store.tissue_prior import tissue_prior

FIDELITY = Path(__file__).parents[1] / "benchmarks" / "fidelity"
_MODULES = ("arms", "claims", "effects", "notation", "pack", "page", "records", "thresholding")
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(FIDELITY))
    arms, claims, effects, notation, packing, page, records, thresholding = (
        import_module(name) for name in _MODULES
    )

Values, Verdict = effects.Values, effects.Verdict
NAN = float("nan")


def values(table: Any, seeds: tuple[int, ...] | None = (0, 1)) -> Any:
    people = tuple(f"p{at}" for at in range(len(table)))
    return Values(people, seeds, np.array(table, dtype=np.float64))


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
    first = Values(("a", "b", "c"), (0, 1, 2), np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], float))
    second = Values(("c", "a"), (2, 0), np.array([[1, 2], [3, 4]], float))
    less = effects.difference(first, second)
    assert less.people == ("a", "c")
    assert less.seeds == (0, 2)
    np.testing.assert_array_equal(less.table, [[1 - 4, 3 - 3], [7 - 2, 9 - 1]])


def test_what_no_seed_changes_is_compared_with_every_seed() -> None:
    trained = values([[1.0, 3.0], [2.0, 2.0]], (0, 2))
    fixed = values([[1.0], [0.5]], None)
    np.testing.assert_array_equal(effects.difference(trained, fixed).table, [[0, 2], [1.5, 1.5]])
    np.testing.assert_array_equal(effects.difference(fixed, trained).table, [[0, -2], [-1.5, -1.5]])
    assert effects.difference(fixed, fixed).seeds is None


def test_arms_without_a_common_seed_or_person_have_no_difference() -> None:
    one, other = values([[1.0], [2.0]], (0,)), values([[1.0], [2.0]], (1,))
    assert effects.difference(one, other) is None
    assert effects.difference(one, None) is None
    assert effects.difference(one, Values(("q",), (0,), np.ones((1, 1)))) is None
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

SIDE, SLICES = 16, 2
PATIENTS = {"mslub": 2, "brats": 4, "wmh (simulated)": 3, "gbi (simulated)": 2}


def dataset(
    names: Sequence[str], *, simulated: bool, tissue: bool = False, splits: str = ""
) -> Any:
    count = SLICES * len(names)
    brain = np.zeros((count, SIDE, SIDE), np.bool_)
    brain[:, 2:14, 3:13] = True
    image = np.where(brain, 30000, 0).astype(np.uint16)
    lesion = np.zeros((count, SIDE, SIDE), np.uint8)
    if not tissue and not splits:
        lesion[:, 6:9, 6:9] = 1
        image[lesion == 1] = 65535
    maps = np.zeros((count if tissue else 0, 3, SIDE, SIDE), np.uint8)
    if tissue:
        for at, rows in enumerate((slice(2, 6), slice(6, 10), slice(10, 14))):
            maps[:, at, rows, 3:13] = 255
    scans = tuple(
        packing.PackedScan(
            name,
            name,
            None,
            splits.split()[at] if splits else "test",
            SLICES * at,
            SLICES * (at + 1),
        )
        for at, name in enumerate(names)
    )
    z = np.tile(np.arange(SLICES, dtype=np.int64), len(names))
    return packing.PackedDataset(simulated, scans, image, brain, lesion, maps, z)


@pytest.fixture(scope="module")
def pack() -> Any:
    unseen = dataset([f"u{at}" for at in range(4)], simulated=True, tissue=True)
    datasets = {
        "healthy": dataset(["h1", "h2"], simulated=True, splits="train validation"),
        "unseen": unseen,
    }
    for label, count in PATIENTS.items():
        names = [f"{label[:2]}{at}" for at in range(count)]
        datasets[label] = dataset(names, simulated="simulated" in label)
    truth = unseen.tissue[:SLICES].transpose(1, 0, 2, 3).astype(np.float32) / 255
    mean = np.concatenate([truth, 1 - truth.sum(axis=0, keepdims=True)])
    prior = TissuePrior(mean, mean * (1 - mean), "made up")
    return packing.Pack(datasets, prior, (2.0, 2.0, 2.0), "{}", "5" * 64)


Auprc = Callable[[str, int], float]


def write_result(
    folder: Path,
    pack: Any,
    arm: str,
    seed: int,
    auprc: Auprc,
    *,
    steps: int = 400,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """A result whose metrics are all ``auprc(dataset, patient)``, with pictures."""
    rebuilds = not arm.startswith("thresholding")
    datasets, pictures = {}, {}
    for label, of in pack.patients.items():
        scans = [
            {"subject": scan.subject, "session": None, "fpr": 0.004}
            | dict.fromkeys(("auprc", "max_dice", "dice"), auprc(label, at))
            for at, scan in enumerate(of.scans)
        ]
        post = {"auprc_pooled": 0.5, "thresholds": {"fpr1": 0.4}, "metrics": {}, "scans": scans}
        contrast = [{"kept": 0.25, "inside": 0.3, "outside": 0.02}] * len(scans)
        datasets[label] = {
            "simulated": of.simulated,
            "posts": dict.fromkeys(("none", "star", "star3d"), post),
            "contrast": contrast if rebuilds else [],
        }
        for scan in of.scans[:2]:
            key = f"{label}/{scan.name}"
            pictures[f"{key}/score"] = np.eye(SIDE, dtype=np.float16)
            if rebuilds:
                pictures[f"{key}/reconstruction"] = np.full((SIDE, SIDE), 0.5, np.float16)
            if arm == "spa":
                pictures[f"{key}/tissues"] = np.full((4, SIDE, SIDE), 0.25, np.float16)
    person = {"l1": 0.01, "l1_brain": 0.03, "ssim": 0.9}
    if arm.startswith("spa"):
        person |= {"dice_CSF": 0.5, "dice_GM": 0.6, "dice_WM": 0.7, "sum_error": 0.1}
    curve = [[step, 0.1 - step * 1e-4] for step in range(20, steps + 1, 20)]
    record = {
        "arm": arm, "method": arm.split("-", maxsplit=1)[0], "seed": seed, "steps": steps,
        "params": {"width": 16, "batch_size": 8} if steps else {}, "data": "healthy",
        "slices_seen": 8 * steps, "curves": {"validation_l1": curve} if steps else {},
        "notes": [], "train_s": 10.0, "score_s": 5.0, "pack": pack.sha256,
        "healthy": [person] * 4 if rebuilds else [], "datasets": datasets, "shape": [SIDE, SIDE],
        "device": "cpu", "versions": {"torch": "2"}, "commit": "abc1234",
    }  # fmt: skip
    (folder / f"{arm}-s{seed}.json").write_text(json.dumps(record | dict(changes or {})))
    np.savez_compressed(folder / f"{arm}-s{seed}.npz", **pictures)  # type: ignore[arg-type]


@pytest.fixture
def results(tmp_path: Path, pack: Any) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    write_result(folder, pack, "thresholding", 0, lambda *_: 0.4, steps=0)
    write_result(folder, pack, "spa", 0, lambda _, at: 0.50 + 0.01 * at)
    write_result(folder, pack, "spa", 1, lambda _, at: 0.54 + 0.01 * at)
    write_result(folder, pack, "spa-plain", 1, lambda _, at: 0.44 + 0.02 * at)
    return folder


def rows(text: str, start: str) -> list[list[str]]:
    """Cells of the tables' rows whose first cell is ``start``."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [line[1:] for line in lines if line[0] == start]


def test_the_prior_scores_like_the_tissues_it_was_made_of(pack: Any) -> None:
    for known in (False, True):
        found = claims.prior_dice(pack, brain_known=known)
        assert {name: one.table.mean() for name, one in found.items()} == {
            "CSF": 1.0, "GM": 1.0, "WM": 1.0,
        }  # fmt: skip


def test_ablations_compare_the_seeds_that_both_have(pack: Any, results: Path) -> None:
    study = records.read_study(pack, results)
    brats = study.datasets[1]
    less = effects.difference(
        study.metric("spa-plain", brats, "star", "auprc"),
        study.metric("spa", brats, "star", "auprc"),
    )
    assert less.seeds == (1,)
    np.testing.assert_allclose(less.table[:, 0], [-0.10, -0.09, -0.08, -0.07])


def test_datasets_come_real_first_and_in_the_papers_order(pack: Any, results: Path) -> None:
    study = records.read_study(pack, results)
    titles = [group.title for group in study.datasets]
    assert titles == ["MSLUB (real)", "BraTS (real)", "WMH (simulated)", "GBI (simulated)"]
    assert [(g.title, g.people) for g in study.kinds] == [
        ("6 real patients", 6), ("5 simulated patients", 5),
    ]  # fmt: skip


def test_thresholding_is_taken_at_its_best_in_every_dataset(pack: Any, results: Path) -> None:
    better = {"mslub": 0.9}
    write_result(
        results, pack, "thresholding-quantile", 0, lambda label, _: better.get(label, 0.1), steps=0
    )
    study = records.read_study(pack, results)
    best = {
        group.title: thresholding.best_thresholding(study, group, "max_dice")
        for group in study.datasets
    }
    assert best["MSLUB (real)"][0] == "quantile"
    assert best["BraTS (real)"][0] == "raw"
    less = thresholding.against_thresholding(study, "spa", study.real, "star", "max_dice")
    wanted = [-0.38, -0.37, 0.12, 0.13, 0.14, 0.15]
    np.testing.assert_allclose(list(less.per_person.values()), wanted)
    assert effects.estimate(less).above == 4


def test_the_page_gives_the_results_and_says_what_was_not_run(
    pack: Any, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "__file__", str(tmp_path / "page.py"))
    (tmp_path / "discussion.md").write_text("What we make of it.\n")
    page.write_page(records.read_study(pack, results), tmp_path / "docs")
    text = (tmp_path / "docs" / "fidelity.md").read_text()
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
    absent = text.split("**Not run**, and therefore in no table: ")[1].splitlines()[0]
    assert "gmvae-plain" in absent
    assert "spa-plain" not in absent
    assert ["not run"] * 4 in rows(text, "GMVAE")
    assert {cell for row in rows(text, "GMVAE") for cell in row} == {"not run"}
    plain = rows(text, "SPA, no rectangles (1 of 2 seeds)")
    assert plain[0][0].startswith("-0.09 [-0.10, -0.0")
    assert "6 real patients (2 MSLUB and 4 BraTS), 5 _simulated_ patients (3 WMH and 2 GBI)" in text
    assert text.endswith("## Discussion\n\nWhat we make of it.\n")


def test_the_page_is_the_same_every_time_and_its_pictures_are_small(
    pack: Any, results: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        page.write_page(records.read_study(pack, results), tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [str(file) for file in files] == [
        "fidelity.md",
        *(
            f"images/fidelity-{name}.png"
            for name in ("curves", "gbi-simulated", "tissues", "wmh-simulated")
        ),
    ]
    kept = {file.name for file in (results / "pictures").rglob("*.png")}
    assert {"fidelity-brats.png", "fidelity-mslub.png"} <= kept  # no real patient on the page
    for file in files:
        data = (tmp_path / "one" / file).read_bytes()
        assert data == (tmp_path / "two" / file).read_bytes()
        assert len(data) < 300_000
        assert b"tIME" not in data
        assert file.suffix == ".md" or f"]({file})" in (tmp_path / "one/fidelity.md").read_text()


def test_a_second_pack_answers_for_normalisation(pack: Any, results: Path, tmp_path: Path) -> None:
    other = results / "percentile"
    other.mkdir()
    changed = {"pack": "6" * 64}
    write_result(other, pack, "thresholding", 0, lambda *_: 0.1, steps=0, changes=changed)
    for seed in (0, 1):
        write_result(other, pack, "spa", seed, lambda *_: 0.05, changes=changed)
        for arm, value in (("vae", 0.45), ("gmvae", 0.47)):
            write_result(results, pack, arm, seed, lambda *_, value=value: value)
    page.write_page(records.read_study(pack, results), tmp_path / "docs")
    text = (tmp_path / "docs" / "fidelity.md").read_text()
    assert "1. Normalisation decides more than any network: **confirmed**" in text
    assert rows(text, "thresholding, 6 real patients") == [
        ["0.40 [0.40, 0.40]", "0.10 [0.10, 0.10]", "**+0.30 [+0.30, +0.30]**"]
    ]


def test_a_new_detector_gets_its_tables(
    pack: Any, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = (
        arms.Arm("hybrid", "hybrid", group="detector", label="Hybrid"),
        arms.Arm("hybrid-bare", "hybrid", {"x": 1}, group="detector", label="bare"),
    )
    monkeypatch.setattr(records, "ARMS", (*arms.ARMS, *new))
    for seed in (0, 1):
        write_result(results, pack, "hybrid", seed, lambda _, at: 0.36 + 0.1 * at)
        write_result(results, pack, "hybrid-bare", seed, lambda _, at: 0.31 + 0.1 * at)
    page.write_page(records.read_study(pack, results), tmp_path / "docs")
    text = (tmp_path / "docs" / "fidelity.md").read_text()
    section = text.split("### Hybrid against thresholding")[1].split("\n## ")[0]
    assert "### bare" not in text
    brats = rows(section, "BraTS (real), 4")[0]
    assert brats[0] == "0.40 raw"
    assert brats[2].strip("*").startswith("+0.11 [")
    assert brats[3] == "3/4"
    assert rows(section, "6 real patients")[0][3] == "4/6"
    assert "Datasets of 4 in which" in section
    assert "Hybrid\\*: 4 (" in section
    assert rows(text, "Hybrid, bare")[0][0] == "**-0.05 [-0.05, -0.05]**"


def test_the_same_people_measured_again_answer_beside_the_study(
    pack: Any, results: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    folder.mkdir()
    for seed in (0, 1):
        write_result(folder, pack, "spa", seed, lambda *_: 0.7)
        write_result(results, pack, "spa-tv-1", seed, lambda *_: 0.5)
    study, again = (records.read_study(pack, one) for one in (results, folder))
    page.write_page(study, tmp_path / "docs", again=again)
    text = (tmp_path / "docs" / "fidelity.md").read_text()
    lead = next(line for line in text.splitlines() if "3. A TV weight of 1" in line)
    assert "**unclear**" in lead
    assert lead.endswith("**not run**.")
    section = text.split("## Again: ")[1].split("\n## ")[0]
    assert ["0.70 [0.70, 0.70]"] * 5 in rows(section, "SPA")
    assert "SPA, TV 1" not in section


def test_results_of_other_data_or_none_are_refused(
    pack: Any, results: Path, tmp_path: Path
) -> None:
    with pytest.raises(UadBenchError, match=r"no result: run"):
        records.read_study(pack, tmp_path / "nothing")
    write_result(results, pack, "vae", 0, lambda *_: 0.5, changes={"pack": "7" * 64})
    with pytest.raises(UadBenchError, match=r"vae-s0\.json was measured on pack 7{12}, not 5{12}"):
        records.read_study(pack, results)
    write_result(results, pack, "vae", 0, lambda *_: 0.5, changes={"steps": "many"})
    with pytest.raises(UadBenchError, match=r"vae-s0\.json: steps is not what `run` writes"):
        records.read_study(pack, results)


# Packing a prepared dataset.

SOURCE = Recipe(name="source", pixel_mm=4.0, slice_mm=8.0)
CROP = np.s_[:, 36:92, 36:92]


@dataclass(frozen=True)
class Toy(Dataset):
    """A dataset of made-up brains."""

    found: Sequence[Scan]

    info = DatasetInfo("toy", "Toy", "none", "", "", "", "", "", ("Toy",))

    def scans(self, root: Path) -> Iterator[Scan]:
        yield from self.found


def toy_scan(root: Path, number: int, split: str) -> Scan:
    affine = template_grid(SOURCE).affine.copy()
    affine[:3, 3] = (affine @ (0, 36, 36, 1))[:3]
    brain, rng = template_brain(SOURCE)[CROP], np.random.default_rng(number)
    tissues = template_tissues(SOURCE)[:, *CROP] + rng.normal(0, 0.1, (3, 1, 1, 1))
    labels = np.where(brain, tissues.argmax(axis=0) + 1, 0).astype(np.uint8)
    flair = np.choose(labels, [0, 40, 120, 100]) + rng.normal(0, 3, brain.shape) * brain
    mask = np.zeros(brain.shape, np.uint8)
    if split == "test":
        mask[8:11, 24:30, 12:18] = 1
    files = {}
    numbered = np.choose(labels, np.array([0, 3, 1, 2], np.uint8))  # as BIDS does
    for name, data in (("flair", flair.astype(np.float32)), ("tissue", numbered), ("lesion", mask)):
        files[name] = root / f"s{number}_{name}.nii.gz"
        nib.save(nib.Nifti1Image(data, affine), files[name])
    lesion = (files["lesion"],) if split == "test" else ()
    return Scan(
        f"s{number}", files["flair"], lesion=lesion, tissues=files["tissue"], split=split,  # type: ignore[arg-type]
        space="mni152",
    )  # fmt: skip


def test_a_pack_holds_what_was_prepared(tmp_path: Path) -> None:
    splits = ("train", "train", "validation", "test")
    raw = [toy_scan(tmp_path, number, split) for number, split in enumerate(splits)]
    order = preparation.take_order(Toy(raw), tmp_path, SOURCE, tmp_path / "store", simulated=True)
    store = preparation.prepare(order, tmp_path / "store", jobs=1, on_scan=lambda _: None)
    file = tmp_path / "pack.npz"
    packing.write_pack(file, {"healthy": store, "unseen": store, "wmh (simulated)": store})
    pack = packing.read_pack(file)

    assert pack.spacing == store.spacing
    assert list(pack.patients) == ["wmh (simulated)"]
    healthy = pack.datasets["healthy"]
    assert [scan.split for scan in healthy.scans] == ["train", "train", "validation"]
    assert all(side % 8 == 0 for side in healthy.image.shape[1:])
    for label, dataset in pack.datasets.items():
        for scan in dataset.scans:
            compare(store, dataset, scan, tissue=label == "unseen")
    wanted = tissue_prior(store)
    assert pack.prior.source == wanted.source
    assert pack.prior.mean.sum() > 0.9 * pack.prior.mean[0].size
    assert pack.prior.mean.max() == pytest.approx(wanted.mean.max(), abs=1e-5)


def compare(store: PreparedDataset, dataset: Any, scan: Any, *, tissue: bool) -> None:
    """A scan's rows hold the same brain voxels, in the same order, as the store."""
    own = next(one for one in store.scans if one.name == scan.name)
    rows, kept = slice(scan.start, scan.stop), slice(own.start, own.stop)
    brain = np.load(store.folder / "brain.npy")[kept].astype(bool)
    inside = dataset.brain[rows]
    assert inside.sum() == brain.sum() > 0
    np.testing.assert_array_equal(dataset.z[rows], store.z[kept])
    image = dataset.slices(rows, store.spacing).image[:, 0]
    np.testing.assert_allclose(
        image[inside], np.load(store.folder / "image.npy")[kept][brain], atol=1e-5
    )
    lesion = np.load(store.folder / "lesion.npy")[kept]
    np.testing.assert_array_equal(dataset.lesion[rows][inside], lesion[brain])
    assert (lesion.sum() > 0) == (own.split == "test")
    if tissue:
        maps = np.load(store.folder / "tissue.npy")[kept].transpose(1, 0, 2, 3)
        np.testing.assert_array_equal(
            dataset.tissue[rows].transpose(1, 0, 2, 3)[:, inside], maps[:, brain]
        )
