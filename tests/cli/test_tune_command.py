"""`uad-bench tune`: a run takes what it finds, and what was chosen and why can be seen."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import uad_bench as ub
from uad_bench.cli import main
from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import SearchRange, Slices
from uad_bench.report.page.tuning import tuning_page
from uad_bench.results import load_cells
from uad_bench.study_record import Searched, StudyMetric, StudyRecord, Trial, stored_studies
from uad_bench.tuning.painted import paint, painted_auprc
from uad_bench.tuning.search import Search, search
from uad_bench.tuning.storage import Database

TOY = '''
"""Finds what is brighter than a level."""
import numpy as np
from pathlib import Path
from uad_bench.method import FitReport, Method, MethodInfo, Params, tunable

class Toy(Method):
    class Params(Params):
        """Hyper-parameters."""
        level: float = tunable(0.8, 0.1, 0.9, ge=0.0, le=1.0)
        """Where bright begins."""
        gain: float = tunable(1.0, 0.5, 2.0, log=True)
        """What the rest is multiplied by."""

    info = MethodInfo("toy", "Toy", first_trial={"level": 0.3})
    objective = ("misfit", "size")

    def fit(self, train, validation, context):
        with Path("trainings.txt").open("a") as log:
            log.write(f"{self.params.level:.4f}\\n")
        self.level_ = self.params.level
        metrics = {"misfit": abs(self.params.level - 0.3) + 0.1, "size": self.params.gain}
        context.checked(1, metrics)
        return FitReport(steps=1, validation=metrics)

    def score(self, slices):
        return np.clip(slices.image - np.float32(self.level_), 0, 1)
'''


@pytest.fixture
def toy(lab, prepared, tmp_path, monkeypatch):
    """The options of a command that works on the toy in the lab."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache").symlink_to(prepared)
    (tmp_path / "toy.py").write_text(TOY)
    options = ["-m", "toy", "--data-root", str(lab), "--limit", "1", "--cache", "cache"]
    return [*options, "--plugin", "toy.py"]


def test_a_run_takes_what_tune_found_and_says_what_was_chosen_and_why(toy, tmp_path, capsys):
    toy += ["--objective", "reconstruction"]
    assert main(["tune", *toy, "--trials", "6"]) == 0
    said = capsys.readouterr().out
    assert "toy: tuned by reconstruction, 6 trials" in said
    assert "  chosen: level 0.3, gain 1\n  why: the lowest mean of misfit and size among" in said
    assert all(len(line) <= 80 for line in said.splitlines())
    (study,) = stored_studies(tmp_path / "results/tuning")
    assert study.chosen in study.front
    page = (tmp_path / "results/tuning.html").read_text()
    assert "the lowest mean of misfit and size" in page

    one = ["--datasets", "wmh", "--controls", "none", "--postprocessing", "none", "--no-mlflow"]
    assert main(["run", *toy, *one, "--trials", "6"]) == 0
    assert len((tmp_path / "trainings.txt").read_text().split()) == 6 + 1
    (cell,) = load_cells(tmp_path / "results")
    assert cell.fit.tuned == study.params
    assert (cell.fit.objective, cell.fit.choice) == ("reconstruction", study.reason)
    assert "Toy: tuned on healthy validation scans by reconstruction, 6" in " ".join(
        str(ub.load_results("results").table()).split()
    )
    report = ub.load_results("results").report(images=False, progress=False)
    assert '<a href="tuning.html">' in report.read_text()


def test_a_damaged_journal_fails_its_method_only_in_tune_as_in_run(toy, tmp_path, capsys):
    other = TOY.replace("class Toy", "class Other").replace('"toy", "Toy"', '"other", "Other"')
    (tmp_path / "other.py").write_text(other)
    toy = ["-m", "toy,other", *toy[2:], "--plugin", "other.py", "--trials", "2"]
    assert main(["tune", *toy]) == 0
    (journal,) = (tmp_path / "results/tuning").glob("toy-*.log")
    first, _, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([first, b"{\n", *rest]))
    capsys.readouterr()
    fault = (
        rf"{journal.name}, line 2 of \d+: damaged: delete the file, and the next run tunes again"
    )

    assert main(["tune", *toy]) == 1
    told = capsys.readouterr()
    assert "other: tuned by detection of painted lesions, 2 trials" in told.out
    assert "toy: tuned" not in told.out
    assert re.search(f"^tune toy: .*{fault}$", told.err, re.MULTILINE)
    where = {"data_root": toy[3], "limit": 1, "cache": "cache", "progress": False}
    where |= {"plugin": ["toy.py", "other.py"], "trials": 2}
    with pytest.raises(UadBenchError, match=rf"^tune toy: .*{fault}$"):
        ub.tune(["toy", "other"], **where)

    one = ["--datasets", "wmh", "--controls", "none", "--postprocessing", "none", "--no-mlflow"]
    assert main(["run", *toy, *one]) == 1
    failed, done = sorted(load_cells(tmp_path / "results"), key=lambda one: one.state == "done")
    assert re.search(fault, failed.reason)
    assert (failed.spec.method, done.spec.method) == ("toy", "other")


def test_a_cell_whose_tuning_failed_goes_once_it_is_tuned(toy, tmp_path, monkeypatch):
    """It has the parameters of before, and every table showed it beside the tuned one."""
    toy += ["--objective", "reconstruction", "--trials", "2", "--no-mlflow"]
    toy += ["--datasets", "wmh", "--controls", "none", "--postprocessing", "none"]

    def diverged(*_: object) -> None:
        raise DivergenceError("every tuning trial diverged")

    with monkeypatch.context() as patched:
        patched.setattr("uad_bench.runner.jobs.train.tune_method", diverged)
        assert main(["run", *toy]) == 1
    (failed,) = load_cells(tmp_path / "results")
    assert (failed.state, failed.reason) == ("failed", "every tuning trial diverged")
    assert main(["run", *toy]) == 0
    (done,) = load_cells(tmp_path / "results")
    assert done.state == "done"
    assert done.spec.params["level"] != failed.spec.params["level"]
    assert not list((tmp_path / "results/failures").iterdir())


@pytest.mark.slow
def test_two_workers_tune_two_methods_at_once_and_come_to_the_same(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("uad_bench.runner.place.cores", lambda: 2)
    meet = """
        import os, time
        from uad_bench.errors import DivergenceError
        if "TOY_MEET" in os.environ:  # until the other method is being tuned too
            folder = Path(os.environ["TOY_MEET"])
            (folder / self.info.name).touch()
            ends = time.monotonic() + 60
            while len(list(folder.iterdir())) < 2:
                if time.monotonic() > ends:
                    raise DivergenceError("alone")
                time.sleep(0.05)
"""
    text = TOY.replace("        self.level_ =", f"{meet}        self.level_ =")
    (tmp_path / "toy.py").write_text(text)
    other = text.replace("class Toy", "class Other").replace('"toy", "Toy"', '"other", "Other"')
    (tmp_path / "other.py").write_text(other)
    options = ["-m", "toy,other", *toy[2:], "--plugin", "other.py", "--trials", "4"]
    (tmp_path / "met").mkdir()
    assert main(["tune", *options, "--results", "one", "--jobs", "1"]) == 0
    monkeypatch.setenv("TOY_MEET", str(tmp_path / "met"))
    assert main(["tune", *options, "--results", "two", "--jobs", "2"]) == 0
    files = sorted(file.name for file in Path("one/tuning").glob("*.json"))
    assert len(files) == 2
    for name in files:
        assert Path("one/tuning", name).read_bytes() == Path("two/tuning", name).read_bytes()


def test_painted_lesions_are_found_in_healthy_validation_scans_only(toy, tmp_path, monkeypatch):
    seen = []

    def watch(score, scans, **how):
        scans = list(scans)
        seen.append(np.concatenate([scan.image for scan in scans]))
        return painted_auprc(score, scans, **how)

    monkeypatch.setattr("uad_bench.runner.detectors.tuning.painted_auprc", watch)
    where = {"data_root": toy[3], "limit": 1, "cache": "cache", "progress": False}
    (study,) = ub.tune("toy", trials=2, plugin="toy.py", **where)
    assert [metric.name for metric in study.metrics] == ["AUPRC of painted lesions"]
    validation = ub.prepare("hi", **where).split("validation").image
    assert all(np.array_equal(images, validation) for images in seen)
    assert len(seen) == 2


def test_what_cannot_be_is_one_line_before_any_training(toy, tmp_path, capsys):
    def said(*options):
        assert main([*options]) == 2
        return capsys.readouterr().err

    secret = "postgresql://ann:secret@127.0.0.1:1/team"
    for command in ("tune", "run"):
        error = said(command, *toy, "--storage", secret)
        assert "storage postgresql://ann:***@127.0.0.1:1/team cannot be opened" in error
        assert "secret" not in error
    (tmp_path / "bad.db").write_text("garbage, and no database" * 100)
    error = said("tune", *toy, "--storage", f"sqlite:///{tmp_path / 'bad.db'}")
    assert "bad.db cannot be opened: file is not a database" in error
    assert "ssim: toy makes no reconstruction" in said("tune", *toy, "--objective", "ssim")
    assert "thresholding: nothing to tune" in said("tune", "-m", "thresholding", *toy[2:])
    all_given = ("--param", "toy.level=0.5", "--param", "toy.gain=1")
    assert "nothing is left to tune" in said("tune", *toy, *all_given)
    assert "--param vae.beta: its method is not part" in said("tune", *toy, "--param", "vae.beta=1")
    for command in ("tune", "run"):
        error = said(command, "-m", "toi", *toy[2:], "--param", "toy.level=0.5")
        assert "Did you mean 'toy'?" in error
        assert "not part" not in error, "of a name that is told to be mistaken"
    with pytest.raises(UadBenchError, match="tune: datasets is for run"):
        ub.tune("toy", datasets="wmh")
    assert not (tmp_path / "trainings.txt").exists()


def test_the_page_shows_a_study_of_one_metric_with_trials_that_ended_early():
    study = StudyRecord(
        name="toy-1",
        method="toy",
        title="<Toy>",
        objective="painted",
        metrics=(StudyMetric(name="found", higher_is_better=True),),
        sampler="random",
        seed=0,
        space={"level": Searched(low=0.0, high=1.0, log=False)},
        default={"level": 0.5},
        trials=(
            Trial(number=1, params={"level": 0.5}, state="diverged"),
            Trial(number=2, params={"level": 0.2}, metrics={"found": 0.1}),
            Trial(number=3, params={"level": 0.9}, metrics={"found": 0.0}, state="stopped"),
        ),
        front=(2,),
        chosen=2,
        reason="the best found",
        importances={},
        simulated=True,
    )
    page = tuning_page([study], "mine")
    assert "1 stopped, 1 diverged" in page
    assert "&lt;Toy&gt;" in page
    assert "simulated" in page
    assert "Pareto" not in page


def healthy(count=40) -> Slices:
    """Round brains of one tissue with a dark centre."""
    y, x = np.indices((64, 64)) - 32
    brain = np.broadcast_to(np.hypot(y, x) < 28, (count, 1, 64, 64)).copy()
    image = np.where(np.hypot(y, x) < 6, 0.1, 0.4) + np.random.default_rng(0).normal(
        0, 0.01, (count, 1, 64, 64)
    )
    image = np.clip(image * brain, 0, 1).astype(np.float32)
    return Slices(image, brain, np.arange(count), (2.0, 2.0, 2.0))


def test_painted_lesions_are_bright_spots_in_tissue_the_same_every_time():
    slices = healthy()
    (painted, lesion), (again, _) = (
        paint(slices, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert np.array_equal(painted.image, again.image)
    assert not np.array_equal(
        painted.image, paint(slices, torch.Generator().manual_seed(2))[0].image
    )
    inside = lesion.astype(bool)[:, None]
    assert inside.any()
    assert not (inside & ~slices.brain).any()
    assert (painted.image >= slices.image).all()
    assert np.array_equal(painted.image[~slices.brain], slices.image[~slices.brain])
    assert painted.image[inside].mean() > 1.2 * slices.image[inside].mean()
    has = inside.any(axis=(1, 2, 3))
    assert 0.25 < has.mean() < 0.75
    assert np.array_equal(painted.image[~has].round(5), slices.image[~has].round(5)) or has.all()


def test_who_finds_painted_lesions_scores_higher_than_chance():
    slices = healthy()
    finds = painted_auprc(lambda one: np.clip(one.image[:, 0] - 0.45, 0, 1), [slices], seed=0)
    blind = painted_auprc(lambda one: np.zeros_like(one.image[:, 0]), [slices], seed=0)
    assert finds > 0.8
    assert 0 < blind < 0.2


@pytest.fixture
def postgres():
    """The address of a PostgreSQL server of its own, and what stops it."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp())  # that of pytest is closed to other users
    if user:
        shutil.chown(folder, "nobody", "nogroup")

    def call(program, *words):
        subprocess.run(
            [programs[-1] / program, *words],
            check=True,
            cwd=folder,
            **user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    secret = folder / "password"
    secret.write_text("se/cret")
    secret.chmod(0o644)
    data = str(folder / "data")
    call(
        "initdb", "-D", data, "-U", "ann", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    call("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")

    def stop():
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")

    try:
        yield f"postgresql://ann:se%2Fcret@127.0.0.1:{port}/postgres", stop
    finally:
        if (folder / "data/postmaster.pid").exists():
            stop()
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_team_tunes_in_postgresql_and_its_password_is_written_nowhere(
    toy, tmp_path, postgres, capfd
):
    url, stop = postgres
    space = {"level": SearchRange(0.0, 1.0)}
    default = {"level": 0.5}
    metrics = (StudyMetric(name="misfit"),)
    asked = Search(space, metrics, first=default, default=default, trials=6, seed=0)

    def work(_):
        return search(lambda place, params, _: {"misfit": params["level"]}, asked, "a", team)

    team = Database(url)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(work, range(2))
    assert one == two
    assert len(one.trials) == 6

    command = ["tune", *toy, "--trials", "2", "--storage", url]
    for results in ("one", "two"):
        assert main([*command, "--results", results]) == 0
    assert len((tmp_path / "trainings.txt").read_text().split()) == 2
    stop()
    assert main([*command, "--results", "three"]) == 2
    told = capfd.readouterr()
    assert "***@127.0.0.1" in told.err
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for text in (told.out.encode(), told.err.encode(), *written):
        assert not re.search(rb"se(%2F|/)cret", text)
