"""A sweep from NIfTI to table and picture: what it measures, what it keeps, what it refuses."""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from matplotlib.figure import Figure
from pydantic import Field

import uad_bench as ub
from uad_bench.cells import DatasetUse
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.latent import ssim, tissue_dice
from uad_bench.method import MethodInfo, Params, ReconstructionMethod, Slices, tunable
from uad_bench.report.figures.sweep import Shown, Sweep, Training, ValueView, sweep_csv, sweep_rows
from uad_bench.report.figures.sweep_file import read_sweep, sweep_bytes
from uad_bench.report.plots.style import encoded, styled
from uad_bench.report.plots.sweep import _curve, sweep_figure
from uad_bench.runner.plan.sweep import plan_sweep
from uad_bench.volumes.store.prepared import PreparedDataset

FADE = '''
"""A darker copy as reconstruction, and three bands of intensity as tissues."""
import os
import time
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from uad_bench.errors import DivergenceError
from uad_bench.method import FitReport, MethodInfo, Params, ReconstructionMethod
from uad_bench.method import TissueMapping, tunable


class Fade(ReconstructionMethod, TissueMapping):
    class Params(Params):
        gain: float = tunable(0.5, 0.25, 1.0, ge=0.0, le=1.0)
        edge: float = Field(default=0.5, gt=0.0, lt=1.0)
        mode: Literal["soft", "hard"] = "soft"
        file: Path | None = None

    info = MethodInfo("fade", "Fade", presets={"dim": {"gain": 0.1, "edge": 0.6}})

    def fit(self, train, validation, context):
        with open(os.environ["FADE_LOG"], "a") as log:
            log.write(f"{self.params.gain} {context.seed}\\n")
        if "FADE_MEET" in os.environ:  # until another value is being trained too
            folder = Path(os.environ["FADE_MEET"])
            (folder / f"{self.params.gain}").touch()
            ends = time.monotonic() + 60
            while len(list(folder.iterdir())) < 2:
                if time.monotonic() > ends:
                    raise DivergenceError("alone")
                time.sleep(0.05)
        if self.params.gain == 0.75:
            raise DivergenceError("the loss is no longer finite")
        if self.params.gain == 0.625 and "FADE_STOP" in os.environ:
            raise KeyboardInterrupt
        return FitReport(steps=1, validation={"l1": 1.0, "kl": 7.0 + context.seed})

    def reconstruct(self, slices):
        return (slices.image * np.float32(self.params.gain)).astype(np.float32)

    def tissues(self, slices):
        image = slices.image[:, 0]
        if self.params.gain == 0.875:
            return image
        dark, bright = image < 0.2, image >= self.params.edge
        return np.stack([dark, bright, ~dark & ~bright, 0 * image], axis=1).astype(np.float32)
'''


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Bench:
    """A lab with a healthy dataset that has a test split, a stranger's method, and its diary."""

    root: Path
    cache: Path
    recipe: Path
    plugin: Path
    log: Path

    def sweep(self, *arguments: object, cwd: Path, root: Path | None = None, jobs: int = 1) -> Done:
        given = [*arguments, "--data-root", root or self.root, "--cache", self.cache]
        given += ["--recipe", self.recipe, "--jobs", jobs]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            code = main(["sweep", *map(str, given), "--plugin", str(self.plugin)])
        return Done(code, out.getvalue(), err.getvalue())

    def in_python(self, *arguments: Any, **settings: Any) -> Sweep:
        """The same sweep by the front door."""
        where = {"data_root": self.root, "cache": self.cache, "recipe": str(self.recipe)}
        return ub.sweep(*arguments, **where, plugin=self.plugin, jobs=1, **settings)

    def trained(self) -> list[str]:
        """What the method trained, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture(scope="module")
def bench_folder(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    shutil.copytree(lab / "HI", folder / "data" / "HI")
    splits = dict(zip(("sub-001", "sub-004"), ("train", "validation"), strict=True))
    people = {
        path.name: splits.get(path.name, "test") for path in (folder / "data" / "HI").glob("sub-*")
    }
    for name in ("sub-002", "sub-003"):
        shutil.rmtree(folder / "data" / "HI" / name)
        del people[name]
    rows = ["participant_id\tsplit", *("\t".join(pair) for pair in sorted(people.items()))]
    (folder / "data" / "HI" / "participants.tsv").write_text("\n".join(rows) + "\n")
    (folder / "fade.py").write_text(FADE)
    (folder / "thick.yaml").write_text("slice_mm: 8\n")
    return folder


@pytest.fixture
def bench(bench_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    log = tmp_path / "trained.txt"
    monkeypatch.setenv("FADE_LOG", str(log))
    parts = ("data", "cache", "thick.yaml", "fade.py")
    return Bench(*(bench_folder / part for part in parts), log)


def lines(folder: Path, name: str = "fade-gain") -> list[dict[str, str]]:
    text = (folder / "results" / "sweeps" / name / "sweep.csv").read_text()
    return list(csv.DictReader(io.StringIO(text)))


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


def test_python_and_the_command_write_the_same_bytes_and_find_each_others_detectors(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"seeds": [0, 1], "param": {"fade.edge": 0.4}, "results": "python"}
    swept = bench.in_python("fade.gain", [1, 0.75, 0.5], progress=False, **given)
    assert capsys.readouterr() == ("", "")
    command = ("fade.gain", "--values", "0.5,0.75,1", "--seeds", "0,1", "--param", "fade.edge=0.4")
    assert bench.sweep(*command, cwd=tmp_path).returncode == 1  # the value between does not train
    for name in ("sweep.csv", "sweep.png", "sweep.npz"):
        one, two = (
            Path(root, "sweeps", "fade-gain", name).read_bytes() for root in ("python", "results")
        )
        assert one == two, name

    assert repr(swept) == "Fade: sweep of gain (simulated), 6 trainings, 2 failed"
    assert [(one.value, one.seed) for one in swept.failed] == [(0.75, 0), (0.75, 1)]
    frame, rows = swept.to_frame(), lines(tmp_path)
    assert list(frame.columns) == list(rows[0])
    for column in ("l1", "kl", "dice_wm"):
        written = [float(row[column] or "nan") for row in rows]
        np.testing.assert_array_equal(frame[column].to_numpy(dtype=float), written)

    before = bench.trained()
    again = bench.in_python("fade.gain", "0.5,1", **given)  # with commas, and told on stderr
    assert again.values == (0.5, 1.0)
    assert bench.trained() == before
    assert "measure gain 1, seed 1" in capsys.readouterr().err


def test_python_sweeps_a_choice_over_all_it_has_and_one_value_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert bench.in_python("fade.mode", progress=False).values == ("soft", "hard")
    file = tmp_path / "study.yaml"
    file.write_text("preset: dim\nresults: from-file\n")
    assert bench.in_python("fade.edge", 0.3, config=file, progress=False).values == (0.3,)
    assert bench.trained()[-1] == "0.1 0"
    assert Path("from-file/sweeps/fade-edge/sweep.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (("fade",), {}, "fade: write METHOD.NAME, such as spa.beta"),
        (("fade.edge",), {}, "fade.edge: it declares no search range; give some, such as values 1"),
        (("fade.gain", [0.5, 2]), {}, "values 2: Input should be less"),
        (("fade.gain", []), {}, "values: names nothing"),
        (("fade.gain", [1]), {"param": {"fade.gain": 1}}, "param fade.gain: it is what is swept;"),
        (("fade.gain", [1]), {"datasets": "mslub", "trials": 2}, "sweep: datasets, trials is for "),
        (("fade.gain", [1]), {"sedes": 0}, "sedes: unknown argument; known: "),
        (
            ("fade.gain", [1]),
            {"scheduler": "tcp://127.0.0.1:1"},
            "scheduler tcp://127.0.0.1:1: cannot be reached",
        ),
    ],
)
def test_what_python_cannot_sweep_is_one_line_in_its_own_words_and_nothing_is_written(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[Any, ...],
    settings: dict[str, Any],
    said: str,
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UadBenchError) as caught:
        bench.in_python(*arguments, **settings)
    assert str(caught.value).startswith(said)
    assert "--" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


class _Any(ReconstructionMethod):
    """Parameters of every kind."""

    class Params(Params):
        beta: float = tunable(1e-5, 1e-5, 1e-2, log=True, ge=0.0)
        snr: float = tunable(16.0, 4.0, 64.0, log=True)
        share: float = tunable(0.5, 0.0, 1.0)
        count: int = tunable(2, 1, 8)
        maybe: float | None = Field(default=None, gt=0.0)
        clean: bool = False
        kind: Literal["none", "noise"] = "none"

    info = MethodInfo("any", "Any")


class _Registry:
    def method(self, name: str) -> type[_Any]:
        return _Any


def planned(param: str, values: list[object] | None, monkeypatch: pytest.MonkeyPatch):
    from uad_bench.runner.config import RunConfig
    from uad_bench.runner.plan import sweep as sweep_plan

    monkeypatch.setattr(sweep_plan, "find_training", lambda config, registry: object())
    monkeypatch.setattr(sweep_plan, "unfit_data", lambda config, sources: ())
    return plan_sweep(RunConfig(methods=("any",)), param, values, _Registry())


@pytest.mark.parametrize(
    ("param", "values", "expected", "log"),
    [
        ("beta", None, [1e-5, 1e-4, 1e-3, 1e-2], True),
        ("snr", None, [4, 8, 16, 32, 64], True),
        ("share", None, [0, 0.25, 0.5, 0.75, 1], False),
        ("count", None, [1, 3, 4, 6, 8], False),
        ("clean", None, [False, True], False),
        ("kind", None, ["none", "noise"], False),
        ("kind", ["noise", "none"], ["noise", "none"], False),
        ("beta", ["1e-3", 0, 1e-3], [0, 1e-3], True),
        ("maybe", [1, 100], [1, 100], True),
        ("maybe", [1, 2], [1, 2], False),
    ],
)
def test_values_are_those_of_the_parameter_in_order(param, values, expected, log, monkeypatch):
    plan = planned(param, values, monkeypatch)
    assert list(plan.values) == expected
    assert plan.log is log
    assert [getattr(params, param) for params in plan.values.values()] == expected


def _sweep(values: tuple, *, log: bool, failed: tuple = ()) -> Sweep:
    generator = np.random.default_rng(0)
    use = DatasetUse(
        dataset="hi",
        simulated=False,
        manifest_hash="0",
        recipe="median",
        subjects=2,
        scans=2,
        slices=9,
    )
    brain = np.zeros((16, 14), dtype=bool)
    brain[3:12, 4:11] = True
    image = brain * generator.random(brain.shape, dtype=np.float32)
    view = ValueView(image * np.float32(0.5), np.stack([image] * 4))
    trainings = tuple(
        Training(value, seed, {}, reason="no")
        if value in failed
        else Training(value, seed, {"L1": 0.1 + seed, "KL": 5.0, "Dice GM": 0.5}, "key")
        for value in values
        for seed in (0, 1)
    )
    views = {value: view for value in values if value not in failed}
    shown = Shown("sub-1", image, brain, None, views)
    return Sweep("any", "Any", "beta", values, log, trainings, use, use, "test", shown)


def test_a_tissue_prior_of_the_template_is_told_below_the_table():
    sweep = _sweep((1.0, 2.0), log=False)
    assert "fallback" not in " ".join(sweep.notes())
    fallen = tuple(replace(one, fallback_prior=True) for one in sweep.trainings)
    assert "(fallback)" in " ".join(replace(sweep, trainings=fallen).notes())


def test_zero_stands_left_of_the_smallest_value_on_a_logarithmic_axis():
    sweep = _sweep((0.0, 1e-4, 1e-2), log=True)
    axes = Figure().subplots()
    _curve(axes, sweep, ["L1"], "L1")
    axes.figure.draw_without_rendering()
    at = axes.transData.transform([(value, 0.1) for value in sweep.values])[:, 0]
    assert at[0] < at[1] < at[2]
    assert at[1] - at[0] < at[2] - at[1]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "0",
        "$10^{-4}$",
        "$10^{-2}$",
    ]


def test_a_curve_runs_through_the_means_and_leaves_failures_out():
    sweep = _sweep((1.0, 2.0, 3.0), log=False, failed=(2.0,))
    axes = Figure().subplots()
    _curve(axes, sweep, ["L1"], "L1")
    (line, *_), *_ = axes.containers
    np.testing.assert_allclose(line.get_xydata(), [[1.0, 0.6], [3.0, 0.6]])


@pytest.mark.parametrize(
    ("values", "log"), [((0.0, 1e-4, 1e-2), True), ((1e-5, 1e-2), True), (("a", "b"), False)]
)
@pytest.mark.parametrize("name", ["L1", "KL", "Dice GM"])
def test_every_point_and_bar_lies_inside_its_panel(values: tuple, log: bool, name: str):
    axes = Figure().subplots()
    _curve(axes, _sweep(values, log=log), [name], name)
    axes.figure.draw_without_rendering()
    (line, *_), *_ = axes.containers
    at = axes.transAxes.inverted().transform(axes.transData.transform(line.get_xydata()))
    assert len(at) == len(values)
    assert (at > 0).all()
    assert (at < 1).all()


@pytest.mark.parametrize("failed", [(), ("noise",), ("none", "noise")])
def test_every_sweep_can_be_drawn_and_written(failed: tuple[str, ...]):
    sweep = _sweep(("none", "noise"), log=False, failed=failed)
    with styled():
        first = encoded(sweep_figure(sweep), "svg")
        assert encoded(sweep_figure(sweep), "svg") == first
    _, rows = sweep_rows(sweep)
    assert [row[0] for row in rows if row[1] == "failed"] == list(failed)
    states = [line["state"] for line in csv.DictReader(io.StringIO(sweep_csv(sweep)))]
    assert states.count("failed") == 2 * len(failed)
    assert "simulated" not in sweep.heading


def test_the_figure_shows_the_slice_its_tissues_and_what_each_value_makes_of_them():
    sweep = _sweep((1.0, 2.0), log=False, failed=(2.0,))
    known = np.stack([sweep.shown.image * np.float32(share) for share in (0.1, 0.2, 0.3, 0.4)])
    figure = sweep_figure(replace(sweep, shown=replace(sweep.shown, tissues=known)))
    shown = {}
    for axes in figure.axes:
        if axes.images:
            place = axes.get_subplotspec()
            shown[place.rowspan.start, place.colspan.start] = np.asarray(axes.images[0].get_array())
    image, view = sweep.shown.image[:15], sweep.shown.views[1.0]
    expected = {(0, 0): image, (0, 1): view.reconstruction[:15], (1, 1): image - image / 2}
    expected |= {(row + 2, 0): known[row, :15] for row in range(4)}
    expected |= {(row + 2, 1): view.tissues[row, :15] for row in range(4)}
    assert shown.keys() == expected.keys()
    for place, array in expected.items():
        np.testing.assert_allclose(shown[place], array[:, 1:], err_msg=str(place), rtol=1e-5)
    assert any(text.get_text() == "failed" for axes in figure.axes for text in axes.texts)


def test_a_mean_over_fewer_seeds_is_said_below_the_figure() -> None:
    """It was the mean of two seeds, and the figure said that of all values."""
    sweep = _sweep((1.0, 2.0, 3.0), log=False, failed=(2.0,))
    whole = "\n".join(text.get_text() for text in sweep_figure(sweep).texts)
    assert "whose training failed" not in whole
    lost = [
        Training(one.value, one.seed, {}, reason="no") if (one.value, one.seed) == (3.0, 1) else one
        for one in sweep.trainings
    ]
    figure = sweep_figure(replace(sweep, trainings=tuple(lost)))
    said = " ".join("\n".join(text.get_text() for text in figure.texts).split())
    assert "without 3 with seed 1, whose training failed" in said


@pytest.mark.parametrize("failed", [(), ("noise",)])
def test_a_sweep_is_read_as_it_was_written(failed: tuple[str, ...], tmp_path: Path):
    sweep, file = _sweep(("none", "noise"), log=False, failed=failed), tmp_path / "sweep.npz"
    file.write_bytes(sweep_bytes(sweep))
    found = read_sweep(file)
    assert sweep_csv(found) == sweep_csv(sweep)
    assert list(found.notes()) == list(sweep.notes())
    with styled():
        assert encoded(sweep_figure(found), "svg") == encoded(sweep_figure(sweep), "svg")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UadBenchError, match="repeat `uad-bench sweep`, which trains nothing again"):
        read_sweep(file)


def test_plot_draws_the_sweep_that_is_asked_for(tmp_path: Path, capsys):
    sweeps = tmp_path / "results" / "sweeps"
    for name in ("any-beta", "other-snr"):
        (sweeps / name).mkdir(parents=True)
        (sweeps / name / "sweep.npz").write_bytes(sweep_bytes(_sweep((1.0, 2.0), log=False)))
    command = ["plot", "sweep", "--results", str(tmp_path / "results")]
    assert main(command) == 2
    assert "has several sweeps, any.beta, other.snr: choose one with --swept" in (
        capsys.readouterr().err
    )
    assert main([*command, "--swept", "any.gamma"]) == 2
    assert "no sweep of any.gamma; `uad-bench sweep any.gamma` makes one" in capsys.readouterr().err
    assert main([*command, "--swept", "any.beta"]) == 0
    assert (tmp_path / "results" / "sweep.pdf").read_bytes().startswith(b"%PDF")
