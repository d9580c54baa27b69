"""What a cluster is asked for, and a whole run elsewhere: the same cells as in one process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import dask
import psutil
import pytest

import uad_bench as ub
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.runner.config import load_config
from uad_bench.runner.executors import pools
from uad_bench.runner.executors.cluster_file import read_cluster_file
from uad_bench.runner.place import device_of, place_notes, unfit_place, visible_gpus
from uad_bench.system import extras

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "uad_bench", "run"]

SBATCH = """#!/bin/bash
script=$(mktemp "$(dirname "$0")/job-XXXXXX")
cp "$1" "$script"  # as SLURM does: the file is gone once sbatch has answered
setsid bash "$script" >>"$(dirname "$0")/jobs.log" 2>&1 &
echo $! >>"$(dirname "$0")/jobs"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
kill -- -"$1"
"""
"""A cluster of one machine, in its simplest form."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in ``PATH`` with ``sbatch`` and ``scancel`` that run jobs here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def written(folder: Path, text: str) -> Path:
    file = folder / "slurm.yaml"
    file.write_text(text)
    return file


def settings(**given: Any) -> Any:
    return load_config(None, {"methods": "thresholding", **given})


GOOD = """
kind: slurm
workers: 2
cores: 4
memory: 16GB
queue: gpu
walltime: 04:00:00
job_extra_directives: ["--gres=gpu:1"]
worker_extra_args: ["--resources GPU=1"]
job_script_prologue: [module load cuda]
"""


def test_a_file_becomes_the_script_of_its_jobs(tmp_path, slurm):
    file = read_cluster_file(written(tmp_path, GOOD), said="--cluster")
    assert (file.kind, file.workers, file.has_gpus) == ("slurm", 2, True)
    with file.open(print, tmp_path) as cluster:
        script = cluster.job_script()
    lines = script.splitlines()
    assert {"#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=15G"} <= set(lines)
    assert {"#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1", "module load cuda"} <= set(lines)
    assert "export DASK_DISTRIBUTED__WORKER__DAEMON=False" in lines
    # one worker per job, which takes one job at a time with all cores
    command = lines[-1]
    assert "--nthreads 4" in command
    assert "--nworkers" not in command
    assert command.endswith("--resources GPU=1")


def test_reading_a_file_leaves_ctrl_c_as_it_was(tmp_path, slurm):
    file = written(tmp_path, "kind: slurm\nworkers: 1\ncores: 1\nmemory: 2GB\n")
    code = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from uad_bench.runner.executors.cluster_file import read_cluster_file\n"
        "read_cluster_file(Path(sys.argv[1]), said='--cluster')\n"
        "assert 'dask_jobqueue' in sys.modules\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)


def test_all_mistakes_of_a_file_are_said_at_once_and_nothing_is_submitted(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    text = "kind: slurm\nqueu: gpu\nmemory: 8GB\nenv_extra: []\nworker_extra_args: --resources\n"
    with pytest.raises(UadBenchError) as caught:
        read_cluster_file(written(tmp_path, text), said="--cluster")
    assert str(caught.value) == (
        f"--cluster {tmp_path}/slurm.yaml: queu: unknown; did you mean queue?; "
        "env_extra: dask-jobqueue calls it job_script_prologue now; "
        "cores of each job is needed, such as `cores: 8`; "
        "worker_extra_args: write a list, with one item per line; "
        "sbatch is not there: start the run where jobs can be submitted; "
        "workers: say how many, such as `workers: 4`"
    )
    for text, fault in (
        ("workers: 2\n", r"kind: write one of slurm, pbs, lsf$"),
        ("kind: slum\nworkers: 2\n", r"kind slum: write one of slurm, pbs, lsf$"),
    ):
        with pytest.raises(UadBenchError, match=fault):
            read_cluster_file(written(tmp_path, text), said="--cluster")


def test_the_folder_of_logs_is_made_with_the_cluster_and_not_before(tmp_path, slurm, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    logs = tmp_path / "all" / "logs"
    file = written(tmp_path, f"{GOOD}log_directory: ~/all/logs\n")
    assert not list(unfit_place(settings(cluster=file)))
    with dask.config.set({"jobqueue.slurm.log-directory": str(logs)}):
        read = read_cluster_file(file, said="--cluster")
    assert not logs.parent.exists()
    logs.parent.touch()
    with pytest.raises(UadBenchError, match=r"slurm\.yaml: no job can be submitted \(.*all/logs'"):
        read.open(print, tmp_path)
    logs.parent.unlink()
    with read.open(print, tmp_path) as cluster:
        assert f"#SBATCH -e {logs}/" in cluster.job_script()
    assert logs.is_dir()
    for value, said in (
        ("[logs]", ": write the path of a folder"),
        ("~nobody-here/logs", " ~nobody-here/logs: there is no such home folder"),
    ):
        written(tmp_path, f"{GOOD}log_directory: {value}\n")
        (fault,) = unfit_place(settings(cluster=file))
        assert fault == f"--cluster {file}: log_directory{said}"


@pytest.mark.parametrize("wrong", ["memory: a lot", "cores: none", "walltime: [1]\nprocesses: x"])
def test_what_the_library_cannot_use_is_one_line(tmp_path, slurm, wrong):
    key = wrong.partition(":")[0]
    text = re.sub(rf"^{key}:.*$", wrong, GOOD, flags=re.MULTILINE)
    unfit = "processes" if "processes" in wrong else key
    said = rf"^--cluster {tmp_path}/slurm\.yaml: {unfit}: \S"
    with pytest.raises(UadBenchError, match=said) as caught:
        read_cluster_file(written(tmp_path, text), said="--cluster")
    assert "\n" not in str(caught.value)


def test_only_one_place_is_named_and_all_that_is_wrong_is_said(tmp_path, monkeypatch):
    both = settings(jobs=2, scheduler="tcp://node:8786")
    (fault,) = unfit_place(both)
    assert fault == "--jobs 2 and --scheduler tcp://node:8786: each says where jobs run; keep one"
    (fault,) = unfit_place(settings(jobs=1, scheduler="tcp://127.0.0.1:1"))
    assert fault.startswith("--scheduler tcp://127.0.0.1:1: cannot be reached within 10 s (")
    assert not list(unfit_place(settings()))
    with pytest.raises(UadBenchError, match=r"^--scheduler: write tcp://HOST:PORT"):
        settings(scheduler="node:8786")
    monkeypatch.setattr("uad_bench.runner.place.is_installed", lambda name: False)
    (fault,) = unfit_place(settings(jobs=2))
    assert fault.startswith("--jobs 2: distributed is not installed; get it with pip install ")
    assert (
        fault == f"{fault.partition('; ')[0]}; get it with {extras.install_command('distributed')}"
    )
    assert "distributed, dask-jobqueue" in next(unfit_place(settings(cluster=tmp_path / "a.yaml")))


def test_python_and_a_file_are_told_of_places_in_their_own_words(tmp_path, slurm, monkeypatch):
    def python(**given: Any) -> Any:
        return load_config(None, {"methods": "thresholding", **given}, in_python=True)

    (fault,) = unfit_place(python(jobs=2, scheduler="tcp://node:8786"))
    assert fault == "jobs 2 and scheduler tcp://node:8786: each says where jobs run; keep one"
    (fault,) = unfit_place(python(scheduler="tcp://127.0.0.1:1"))
    assert fault.startswith("scheduler tcp://127.0.0.1:1: cannot be reached within 10 s (")
    (fault,) = unfit_place(python(cluster=written(tmp_path, "kind: slum\n")))
    assert fault.startswith(f"cluster {tmp_path}/slurm.yaml: kind slum: write one of")
    (note,) = place_notes(python(cluster=tmp_path / "slurm.yaml"))
    assert note == "device auto is the CPU on other machines; device cuda uses their GPUs"
    study = tmp_path / "study.yaml"
    study.write_text("methods: thresholding\nscheduler: tcp://127.0.0.1:1\n")
    (fault,) = unfit_place(load_config(study, {}, in_python=True))
    assert fault.startswith(f"{study}: scheduler tcp://127.0.0.1:1: cannot be reached")
    monkeypatch.setattr("distributed.SpecCluster", Mock(side_effect=OSError("no")))
    with (
        pytest.raises(UadBenchError, match=r"^jobs 2: the workers do not start"),
        pools.local_pool(2, 1, said="jobs 2"),
    ):
        raise AssertionError


def test_gpus_of_a_cluster_are_asked_for(tmp_path, slurm):
    plain = GOOD.replace('worker_extra_args: ["--resources GPU=1"]\n', "")
    file = written(tmp_path, plain)
    (fault,) = unfit_place(settings(cluster=file, device="cuda"))
    assert fault.startswith(f"{file}: --device cuda needs workers with a GPU")
    written(tmp_path, GOOD)
    assert not list(unfit_place(settings(cluster=file, device="cuda")))
    assert device_of(settings(cluster=file, device="cuda")) == "cuda", "this machine needs none"
    assert device_of(settings(cluster=file)) == "cpu"
    (note,) = place_notes(settings(cluster=file))
    assert "--device cuda uses their GPUs" in note
    with pytest.raises(UadBenchError, match=r"^--device gpu: "):
        device_of(settings(cluster=file, device="gpu"))


def test_no_more_workers_than_cores(monkeypatch):
    monkeypatch.setattr("uad_bench.runner.place.cores", lambda: 4)
    (note,) = place_notes(settings(jobs=9))
    assert note == "--jobs 9: this process may use 4 cores, so it is 4"
    assert not list(place_notes(settings(jobs=4)))


@pytest.mark.parametrize(
    ("said", "count", "gpus"),
    [("", 2, ("0", "1")), ("3,5", 2, ("3", "5")), ("GPU-a, GPU-b", 2, ("GPU-a", "GPU-b"))],
)
def test_gpus_that_the_user_hides_stay_hidden(said, count, gpus):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": said}, count) == gpus


def numbers(results: Path) -> dict[str, Any]:
    """What cells say, without what differs from run to run."""
    cells = {}
    for file in sorted((results / "cells").glob("*.json")):
        cell = json.loads(file.read_text())
        cell.pop("environment")
        if cell.get("fit"):
            cell["fit"].pop("wall_s")
        cells[file.name] = cell
    return cells


@pytest.fixture
def given(lab: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A run of a method that is not trained, and of a control."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uad_bench.runner.place.cores", lambda: 2)
    return {
        "methods": "thresholding",
        "datasets": "mslub",
        "limit": 1,
        "data_root": lab,
        "cache": prepared,
        "controls": "control-black",
        "protocol": "paper",
        "postprocessing": "star+erode=2",
        "mlflow": False,
        "progress": False,
    }


@pytest.mark.slow
def test_the_cells_are_the_same_as_in_one_process(given, tmp_path):
    alone = ub.run(**given, results=tmp_path / "one")
    done = ub.run(**given, results=tmp_path / "two", jobs=2)
    assert len(done.cells) == len(alone.cells) == 2
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")
    for folder in ("pictures", "histograms", "detectors"):
        assert sorted(one.name for one in (tmp_path / "one" / folder).iterdir()) == sorted(
            one.name for one in (tmp_path / "two" / folder).iterdir()
        )


@pytest.mark.slow
def test_workers_share_the_patients_of_a_dataset_and_write_the_same_cells(
    given, tmp_path, monkeypatch
):
    monkeypatch.setattr("uad_bench.runner.jobs.parts.LEAST_SCANS", 1)
    given |= {"limit": None, "controls": "control-random", "protocol": "strict,paper"}
    alone = ub.run(**given, results=tmp_path / "one")
    done = ub.run(**given, results=tmp_path / "two", jobs=2)
    assert len(done.cells) == len(alone.cells) == 4
    assert not done.failed
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")
    for folder in ("pictures", "histograms"):
        one, two = (
            {file.name: file.read_bytes() for file in (tmp_path / name / folder).iterdir()}
            for name in ("one", "two")
        )
        assert one == two
    assert not (tmp_path / "two" / ".parts").exists()


@pytest.mark.slow
def test_a_run_of_a_cluster_is_the_same_run(given, tmp_path, slurm):
    """With stand-ins for SLURM's commands, real jobs, and one of them killed."""
    file = written(tmp_path, "kind: slurm\nworkers: 2\ncores: 1\nmemory: 4GB\ninterface: lo\n")
    ub.run(**given, results=tmp_path / "one")
    done = ub.run(**given, results=tmp_path / "two", cluster=file)
    assert not done.failed
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")
    jobs = [int(line) for line in (slurm / "jobs").read_text().split()]
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(job) for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(psutil.pid_exists(job) for job in jobs), "its jobs are cancelled"


FADE = '''
"""A darker copy as reconstruction."""
import numpy as np
from uad_bench.method import FitReport, MethodInfo, Params, ReconstructionMethod, tunable


class Fade(ReconstructionMethod):
    class Params(Params):
        gain: float = tunable(0.5, 0.25, 1.0)

    info = MethodInfo("fade", "Fade")
    objective = ("l1",)

    def fit(self, train, validation, context):
        noise = np.random.default_rng(context.seed).random()
        self.offset_ = train.image.mean(dtype=np.float64) * noise / 7
        return FitReport(steps=1, validation={"l1": self.offset_})

    def reconstruct(self, slices):
        faded = slices.image * self.params.gain + self.offset_
        return np.clip(faded, 0, 1).astype(np.float32)
'''


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler of Dask with two workers, as a person starts them."""
    file, log = tmp_path / "scheduler.json", (tmp_path / "dask.log").open("wb")
    dask_program = [sys.executable, "-m", "dask"]
    known = ["--scheduler-file", str(file), "--no-dashboard"]
    begun = [
        [*dask_program, "scheduler", "--host", "127.0.0.1", "--port", "0", *known],
        *2 * [[*dask_program, "worker", "--nthreads", "1", *known]],
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    programs = [
        subprocess.Popen(one, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        for one in begun
    ]
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]
    finally:
        for program in reversed(programs):
            program.terminate()
            program.wait(60)
        log.close()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["scheduler", "cluster"])
def test_tune_and_sweep_come_to_the_same_elsewhere(given, tmp_path, request, place):
    if place == "cluster":
        request.getfixturevalue("slurm")
        text = "kind: slurm\nworkers: 2\ncores: 1\nmemory: 4GB\ninterface: lo\n"
        where = str(written(tmp_path, text))
    else:
        where = request.getfixturevalue("scheduler")
    (tmp_path / "fade.py").write_text(FADE)
    words = ["--plugin", "fade.py", "--data-root", str(given["data_root"]), "--limit", "1"]
    words += ["--cache", str(given["cache"])]
    for results, how in (("one", ["--jobs", "1"]), ("two", [f"--{place}", where])):
        own = [*words, "--results", results, *how]
        assert main(["tune", "-m", "fade", "--trials", "4", *own]) == 0
        assert main(["sweep", "fade.gain", "--seeds", "0,1", *own]) == 0
    for pattern in ("tuning/*.json", "sweeps/fade-gain/*"):
        one, two = (
            {file.name: file.read_bytes() for file in (tmp_path / results).glob(pattern)}
            for results in ("one", "two")
        )
        assert one
        assert one == two


@pytest.mark.slow
def test_a_cluster_that_takes_no_job_is_one_line(given, tmp_path, slurm):
    (slurm / "sbatch").write_text(
        "#!/bin/bash\necho 'sbatch: error: invalid partition' >&2\nexit 1\n"
    )
    file = written(tmp_path, "kind: slurm\nworkers: 1\ncores: 1\nmemory: 4GB\ninterface: lo\n")
    with pytest.raises(
        UadBenchError, match=r"slurm\.yaml: no job could be submitted: .*"
    ) as caught:
        ub.run(**given, results=tmp_path / "one", cluster=file)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_cluster_that_takes_one_job_of_two_does_the_run(given, tmp_path, slurm):
    once = 'if mkdir "$(dirname "$0")/refused" 2>/dev/null; then\n'
    once += "  echo 'sbatch: error: Socket timed out' >&2; exit 1\nfi\n"
    (slurm / "sbatch").write_text(SBATCH.replace("script=", f"{once}script=", 1))
    file = written(tmp_path, "kind: slurm\nworkers: 2\ncores: 1\nmemory: 4GB\ninterface: lo\n")
    done = ub.run(**given, results=tmp_path / "one", cluster=file)
    assert not done.failed
    assert len((slurm / "jobs").read_text().split()) == 1


@pytest.mark.slow
def test_jobs_that_all_end_before_a_worker_comes_are_one_line(given, tmp_path, slurm, monkeypatch):
    monkeypatch.setattr("uad_bench.runner.executors.pools._QUEUE_S", 120.0)
    text = "kind: slurm\nworkers: 2\ncores: 1\nmemory: 4GB\ninterface: lo\n"
    file = written(tmp_path, f"{text}job_script_prologue: [exit 3]\n")
    with pytest.raises(
        UadBenchError, match=r"slurm\.yaml: every job ended before a worker of it came: see what"
    ) as caught:
        ub.run(**given, results=tmp_path / "it's one", cluster=file)
    assert "\n" not in str(caught.value)
    assert len((slurm / "jobs").read_text().split()) == 2
    assert not (tmp_path / "it's one" / ".ended").exists()


@pytest.mark.slow
def test_a_script_needs_no_guard_against_its_workers(given, tmp_path):
    said = ", ".join(f"{key}={str(value)!r}" for key, value in given.items() if key != "progress")
    said = said.replace("'False'", "False")
    program = tmp_path / "program.py"
    program.write_text(
        "import uad_bench as ub\nprint('begins')\n"
        f"print(len(ub.run({said}, jobs=2, results='results').cells))\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.split() == ["begins", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_leaves_no_process(
    lab, prepared, tmp_path, number
):
    given = ["--methods", "vae", "--datasets", "mslub", "--data-root", lab, "--cache", prepared]
    given += ["--no-tune", "--param", "vae.steps=100000", "--jobs", "2", "--no-mlflow"]
    program = subprocess.Popen(
        [*PROGRAM, *map(str, given)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stderr is not None
    for line in program.stderr:
        if "train vae" in line:
            break
    workers = psutil.Process(program.pid).children(recursive=True)
    os.killpg(program.pid, number)  # as a terminal does
    rest = program.stderr.read()
    assert program.wait(60) == 130
    assert "Traceback" not in rest
    assert "go on with: uad-bench run --methods vae" in rest
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


@pytest.mark.parametrize("command", [["run"], ["run", "--dry-run"], ["tune"]])
def test_a_scheduler_that_is_not_there_is_all_that_is_said_and_nothing_is_written(
    given, tmp_path, capsys, command
):
    words = ["--methods", "vae", "--data-root", str(given["data_root"])]
    words += ["--scheduler", "tcp://127.0.0.1:9", "--cache", str(given["cache"])]
    assert main([*command, *words]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: --scheduler tcp://127.0.0.1:9: cannot be reached within 10 s")
    assert not (tmp_path / "results").exists()
