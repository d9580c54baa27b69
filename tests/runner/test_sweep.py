"""A sweep from NIfTI to table and picture: what it measures, what it keeps, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_sweeps import Bench, lines

from uad_bench.evaluation.latent import ssim, tissue_dice
from uad_bench.method import Slices
from uad_bench.volumes.store.prepared import PreparedDataset


def measured(slices: Slices, tissue: np.ndarray, gain: float) -> dict[str, float]:
    """What Fade should come to for one person, from the definitions."""
    image = np.asarray(slices.image)
    made = image * np.float32(gain)
    maps = np.concatenate([image < 0.2, image >= 0.5, (image >= 0.2) & (image < 0.5), 0 * image], 1)
    dice = tissue_dice(maps.astype(np.float32), np.asarray(tissue), slices.brain)
    return {
        "l1": float(np.abs(image - made).mean()),
        "ssim": ssim(image, made, slices.brain),
        **{f"dice_{name.lower()}": value for name, value in dice.items()},
    }


def test_it_measures_held_out_healthy_people_and_nothing_else(bench: Bench, tmp_path: Path):
    bench = replace(bench, cache=tmp_path / "cache")  # nobody else's stores
    done = bench.sweep("fade.gain", "--values", "1,0.5,5e-1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path)
    assert [line["value"] for line in found] == ["0.5", "1.0"]  # in order, each once
    (store,) = [path.parent for path in bench.cache.rglob("manifest.json")]
    dataset = PreparedDataset.open(store)
    people = [(dataset.slices(scan), dataset.tissue_of(scan)) for scan in dataset.scans_of("test")]
    assert len(people) == 2
    for line in found:
        expected = [measured(slices, tissue, float(line["value"])) for slices, tissue in people]
        for name in expected[0]:
            mean = np.mean([one[name] for one in expected])
            assert float(line[name]) == pytest.approx(mean, rel=1e-5), name
        assert float(line["kl"]) == 7.0
        assert (line["split"], line["subjects"], line["simulated"]) == ("test", "2", "simulated")
    assert 0.1 < float(found[0]["dice_wm"]) < 1
    assert "Fade: sweep of gain (simulated)" in done.stdout
    assert "split test" in done.stdout


def test_without_a_test_split_it_takes_validation_and_says_so(
    bench: Bench, lab: Path, tmp_path: Path
):
    arguments = ("fade.gain", "--values", "0.5", "--limit", "1")
    done = bench.sweep(*arguments, cwd=tmp_path, root=lab)
    assert done.returncode == 0, done.stderr
    assert "There is no healthy test split" in done.stdout
    assert [line["split"] for line in lines(tmp_path)] == ["validation"]


def test_spa_is_swept_with_its_latent_tissue_maps(bench: Bench, tmp_path: Path):
    arguments = ("spa.beta", "--values", "0", "--param", "spa.steps=2")
    done = bench.sweep(
        *arguments, "--param", "spa.width=2", "--param", "spa.checks=1", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path, "spa-beta")
    for name in ("l1", "kl", "ssim", "dice_gm", "dice_wm"):
        assert all(float(line[name]) >= 0 for line in found), name
    file = tmp_path / "results" / "sweeps" / "spa-beta" / "sweep.png"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_repeated_sweep_trains_nothing_and_writes_the_same_bytes(bench: Bench, tmp_path: Path):
    arguments = ("fade.gain", "--values", "0.5,1", "--seeds", "0,1")
    first = bench.sweep(*arguments, cwd=tmp_path)
    files = sorted((tmp_path / "results" / "sweeps" / "fade-gain").iterdir())
    assert [file.name for file in files] == ["sweep.csv", "sweep.npz", "sweep.png"]
    before = [file.read_bytes() for file in files]
    trained = bench.trained()
    assert trained == ["0.5 0", "0.5 1", "1.0 0", "1.0 1"]
    second = bench.sweep(*arguments, cwd=tmp_path)
    assert bench.trained() == trained
    assert [file.read_bytes() for file in files] == before
    assert second.stdout == first.stdout
    assert "7.5 (7 to 8)" in first.stdout  # KL of two seeds: mean, lowest and highest


def test_an_interrupted_sweep_goes_on_with_what_is_left(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = ("fade.gain", "--values", "0.5,0.625,1")
    monkeypatch.setenv("FADE_STOP", "yes")
    said = ["sweep", "fade.gain", "--overwrite", "all", "--cache", "[bold] ones"]
    monkeypatch.setattr("sys.argv", ["uad-bench", *said])
    stopped = bench.sweep(*arguments, cwd=tmp_path)
    assert stopped.returncode == 130
    again = "trained detectors are in results; go on with: uad-bench sweep fade.gain --cache"
    assert f"{again} '[bold] ones'\n" in stopped.stderr
    assert not (tmp_path / "results" / "sweeps").exists()
    monkeypatch.delenv("FADE_STOP")
    assert bench.sweep(*arguments, cwd=tmp_path).returncode == 0
    assert bench.trained() == ["0.5 0", "0.625 0", "0.625 0", "1.0 0"]


@pytest.mark.slow
def test_two_workers_train_two_values_at_once_and_come_to_the_same(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("uad_bench.runner.place.cores", lambda: 2)
    one, two, met = (tmp_path / name for name in ("one", "two", "met"))
    for folder in (one, two, met):
        folder.mkdir()
    arguments = ("fade.gain", "--values", "0.5,0.875,1")  # the second fails
    alone = bench.sweep(*arguments, cwd=one)
    monkeypatch.setenv("FADE_MEET", str(met))
    done = bench.sweep(*arguments, cwd=two, jobs=2)
    assert done.returncode == alone.returncode == 1, done.stderr
    assert done.stdout == alone.stdout
    for kind in ("csv", "png"):
        file = f"results/sweeps/fade-gain/sweep.{kind}"
        assert (one / file).read_bytes() == (two / file).read_bytes(), kind
    detectors = [
        sorted(str(file.relative_to(root)) for file in (root / "results/detectors").rglob("*"))
        for root in (one, two)
    ]
    assert detectors[0] == detectors[1]


def test_a_training_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    bench: Bench, tmp_path: Path
):
    arguments = ("fade.gain", "--values", "0.5,0.75,0.875,1")
    done = bench.sweep(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    found = lines(tmp_path)
    assert [line["value"] for line in found] == ["0.5", "0.75", "0.875", "1.0"]
    assert [line["state"] for line in found] == ["done", "failed", "failed", "done"]
    assert [bool(line["l1"]) for line in found] == [True, False, False, True]
    assert "0.75, seed 0 failed: the loss is no longer finite" in done.stdout
    assert "0.875, seed 0 failed: fade.tissues() returned shape" in done.stdout
    bench.sweep(*arguments, cwd=tmp_path)
    trained = ["0.5 0", "0.75 0", "0.875 0", "1.0 0"]
    assert bench.trained() == [*trained, "0.75 0"]  # a training that failed is not kept


def test_the_swept_value_wins_over_the_preset_and_param_over_both_else(
    bench: Bench, tmp_path: Path
):
    given = ("--preset", "dim", "--param", "fade.mode=hard")
    done = bench.sweep("fade.edge", "--values", "0.3,0.4", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert bench.trained() == ["0.1 0", "0.1 0"]
    assert [line["value"] for line in lines(tmp_path, "fade-edge")] == ["0.3", "0.4"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fad.gain",), "Did you mean 'fade'"),
        (("fade.gian",), "fade.gian: unknown; did you mean gain? fade has"),
        (("fade.file",), "neither a number nor a switch nor a choice"),
        (("fade.edge",), "give some, such as --values 1,2,3"),
        (("fade.gain", "--values", "a,2"), "--values a: Input should be a valid"),
        (("fade.gain", "--values", "0.5,2"), "--values 2: Input should be less"),
        (("fade.gain", "--values", "nan"), "--values nan"),
        (("fade.gain", "--values", ","), "names nothing"),
        (("fade.mode", "--values", "soft,mild"), "--values mild"),
        (("fade.gain", "--param", "fade.gain=1"), "is what is swept"),
        (("fade.gain", "--param", "fade.edge"), "write METHOD.NAME=VALUE"),
        (("fade.gain", "--param", "edge=1"), "write METHOD.NAME=VALUE"),
        (("fade.gain", "--param", "spa.beta=1"), "its method is not part of this sweep"),
        (("fade.gain", "--param", "fade.egde=0.4"), "unknown; did you mean edge?"),
        (("fade.gain", "--param", "fade.edge=7"), "--param fade.edge: Input should be less"),
        (
            ("fade.gain", "--preset", "paper"),
            "--preset paper: unknown; fade has: dim",
        ),
        (("fade.gain", "--seeds", "x"), "--seeds"),
        (("fade.gain", "--train", "mslub"), "a dataset of patients"),
        (("fade.gain", "--atlas", "nowhere"), "nowhere"),
        (
            ("fade.gain", "--scheduler", "tcp://127.0.0.1:1"),
            "--scheduler tcp://127.0.0.1:1: cannot be reached",
        ),
        (("fade",), "fade: write METHOD.NAME, such as spa.beta"),
        (("thresholding.variant",), "learns nothing"),
        (("spa.beta", "--values=-1"), "--values -1: Input should be greater"),
        (
            ("spa.beta", "--preset", "paper", "--param", "spa.perceptual=vgg19"),
            "vgg19_weights",
        ),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_one_line_and_nothing_is_written(
    bench: Bench, tmp_path: Path, arguments: tuple[str, ...], said: str
):
    done = bench.sweep(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not (tmp_path / "results").exists()
    assert bench.trained() == []
