"""A run from NIfTI to table on a miniature lab: resumable, repeatable, and honest in failure."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.results import load_cells
from uad_bench.runner.costs.known import Costs, costs_of_cells
from uad_bench.runner.environment import resolve_device

SCRIPT = str(Path(sys.executable).with_name("uad-bench"))

BOX = '''
"""A box of fixed intensity: how much brighter than 0.5 a voxel is."""
import os
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class Box(Method):
    info = MethodInfo("box", "Box")

    def fit(self, train, validation, context):
        return FitReport(steps=1, slices_seen=len(train))

    def score(self, slices):
        return np.clip(slices.image - 0.5, 0, 1).astype(np.float32)
'''


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


def uad_bench(*arguments: object, cwd: Path) -> Done:
    """Run a command in this process, as the console script would from ``cwd``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def cache(prepared: Path) -> Path:
    """Prepared datasets."""
    return prepared


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's method in one file."""
    file = tmp_path_factory.mktemp("plugin") / "box.py"
    file.write_text(BOX)
    return file


def arguments(lab: Path, cache: Path, box: Path, results: str = "results") -> list[object]:
    return [
        *("run", "--methods", "box", "--datasets", "mslub,wmh"),
        *("--data-root", lab, "--cache", cache, "--plugin", box),
        *("--results", results, "--no-mlflow", "--controls", "control-black"),
    ]


def quick(lab: Path, cache: Path, box: Path) -> list[object]:
    """One method, one patient, no controls."""
    few = ["--datasets", "wmh", "--controls", "", "--limit", "1", "--postprocessing", "none"]
    return [*arguments(lab, cache, box), *few]


def table(folder: Path, results: str = "results") -> str:
    done = uad_bench("table", "--results", results, "-f", "markdown", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def whole(lab, box, tmp_path_factory) -> tuple[Path, Done]:
    """A finished run: the folder it was started in, and what it said, every step of it."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uad_bench.front.progress._PLAIN_EVERY_S", 0.0)
        return folder, uad_bench(*arguments(lab, folder / "cache", box), cwd=folder)


def test_progress_counts_scans_as_they_are_prepared(whole, lab, cache, box):
    _, done = whole
    steps = re.findall(r"prepare dataset mslub(?: \(simulated\))?: (\d+)/(\d+)  \S+", done.stderr)
    assert steps == [(str(number + 1), str(len(steps))) for number in range(len(steps))]
    assert steps


def test_strangers_method_runs_and_stands_in_the_table(whole, lab, cache, box):
    folder, done = whole
    assert done.returncode == 0, done.stderr
    assert "Box" in done.stdout
    assert "Black" in done.stdout
    cells = load_cells(folder / "results")
    assert {(c.spec.method, c.spec.dataset, c.spec.postprocessing) for c in cells} == {
        (method, dataset, post)
        for method in ("box", "control-black")
        for dataset in ("mslub", "wmh")
        for post in ("none", "star")
    }
    assert all(cell.simulated and cell.state == "done" for cell in cells)
    assert "simulated" in table(folder)
    again = uad_bench(*arguments(lab, cache, box), cwd=folder)
    assert "0 computed now" in again.stderr


def test_same_command_gives_the_same_table_byte_for_byte(whole, lab, cache, box, tmp_path):
    done = uad_bench(*arguments(lab, cache, box), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path) == table(whole[0])


def started(command: list[object], folder: Path) -> subprocess.Popen[str]:
    """Start a run and return once it has written its first cell."""
    running = subprocess.Popen(
        [SCRIPT, *map(str, command)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    cells = folder / "results" / "cells"
    while running.poll() is None and not list(cells.glob("*.json")):
        time.sleep(0.02)
    return running


def test_killed_run_resumes_to_the_same_table(whole, lab, cache, box, tmp_path):
    running = started(arguments(lab, cache, box), tmp_path)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert 0 < len(list((tmp_path / "results" / "cells").glob("*.json"))) < 8
    status = uad_bench("status", cwd=tmp_path)
    assert "go on with: uad-bench run" in status.stdout
    resumed = uad_bench(*arguments(lab, cache, box), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert table(tmp_path) == table(whole[0])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_cells_and_prints_how_to_go_on(lab, cache, box, tmp_path, sent):
    running = started(arguments(lab, cache, box), tmp_path)
    running.send_signal(sent)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "go on with: uad-bench run --methods box" in said
    assert "Traceback" not in said
    assert list((tmp_path / "results" / "cells").glob("*.json"))


def test_an_interrupt_that_became_another_error_ends_the_run(lab, cache, tmp_path):
    """Python raises SystemError where C code returns a result while an interrupt is pending."""
    file = tmp_path / "box.py"
    file.write_text(
        BOX.replace(
            "        return np.clip",
            """        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise SystemError("returned a result with an exception set") from error
        return np.clip""",
        )
    )
    done = uad_bench(*quick(lab, cache, file), cwd=tmp_path)
    assert done.returncode == 130
    assert "go on with: uad-bench" in done.stderr
    assert not list((tmp_path / "results" / "cells").glob("*.json"))


def test_two_runs_in_one_folder_are_refused(lab, cache, box, tmp_path):
    from uad_bench.results import ResultsFolder

    with ResultsFolder(tmp_path / "results").lock():
        second = uad_bench(*arguments(lab, cache, box), cwd=tmp_path)
    assert second.returncode == 2
    assert second.stderr.startswith("error: another run is using results")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return np.full_like(slices.image, np.nan)", "values that are not finite"),
        ("return slices.image[:, :, ::2]", "return one map per slice"),
        ("return slices.image * 3", "must lie in [0, 1]"),
        ("raise ValueError('no such luck')", "ValueError: no such luck"),
    ],
)
def test_a_failing_method_is_a_row_and_stops_nobody(lab, cache, tmp_path, body, reason):
    box = tmp_path / "box.py"
    box.write_text(BOX.replace("return np.clip(slices.image - 0.5, 0, 1).astype(np.float32)", body))
    command = [*quick(lab, cache, box), "--methods", "box,thresholding"]
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    states = {c.spec.method: c for c in load_cells(tmp_path / "results")}
    assert states["box"].state == "failed"
    assert reason in states["box"].reason
    assert states["thresholding"].state == "done"
    assert reason.split(":")[0] in table(tmp_path).replace("\\", "")


@pytest.mark.parametrize("call", ["fit", "calibrate", "score"])
def test_what_a_method_cannot_do_is_its_own_failure(lab, cache, tmp_path, call):
    box = tmp_path / "box.py"
    box.write_text(
        f"from uad_bench.errors import UadBenchError\n{BOX}\n"
        f"def refused(self, *_):\n    raise UadBenchError('2 people are needed')\n"
        f"Box.{call} = refused\n"
    )
    command = [*quick(lab, cache, box), "--methods", "box,thresholding"]
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    found = {c.spec.method: (c.state, c.reason) for c in load_cells(tmp_path / "results")}
    assert found["box"] == ("failed", "2 people are needed")
    assert found["thresholding"][0] == "done"


def test_a_failed_cell_is_tried_again_and_a_finished_one_is_not(lab, cache, tmp_path, monkeypatch):
    box = tmp_path / "box.py"
    switch = "if os.environ.get('BOX_FAILS'):\n            raise ValueError('today')\n        "
    box.write_text(BOX.replace("return np.clip", f"{switch}return np.clip"))
    command = [*quick(lab, cache, box), "--methods", "box,thresholding"]
    monkeypatch.setenv("BOX_FAILS", "1")
    assert uad_bench(*command, cwd=tmp_path).returncode == 1
    kept = uad_bench(*command, "--overwrite", "never", cwd=tmp_path)
    assert "0 computed now" in kept.stderr
    monkeypatch.delenv("BOX_FAILS")
    again = uad_bench(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 computed now" in again.stderr


def test_one_bad_patient_is_left_out_by_name(lab, cache, box, tmp_path):
    import shutil

    mine = tmp_path / "lab"
    shutil.copytree(lab, mine)
    victim = sorted((mine / "MSLUB").rglob("*FLAIR.nii.gz"))[0]
    victim.write_bytes(victim.read_bytes()[:2000])
    command = [*arguments(mine, tmp_path / "cache", box), "--controls", ""]
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    name = victim.parent.name
    assert f"{name} is left out" in done.stderr
    assert name in table(tmp_path)
    cells = load_cells(tmp_path / "results")
    used = {cell.spec.dataset: cell.data.subjects for cell in cells if cell.data}
    assert used == {"mslub": 2, "wmh": 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--methods", "gmave"], "Did you mean 'gmvae'?"),
        (["--datasets", "mslab"], "Did you mean 'mslub'?"),
        (["--datasets", "hi"], "a healthy dataset trains detectors"),
        (["--datasets", "brats"], "dataset brats is not in"),
        (["--data-root", "nowhere"], "nowhere"),
        (["--param", "spa.beta=1"], "its method is not part of this run"),
        (
            ["--methods", "thresholding", "--param", "thresholding.variant=rank"],
            "--param thresholding.variant",
        ),
        (["--methods", "thresholding", "--param", "thresholding.sigma=1"], "unknown; thresholding"),
        (["--param", "beta"], "write METHOD.NAME=VALUE"),
        (["--config", "nested.yaml"], "nested.yaml: param box: write METHOD.NAME=VALUE"),
        (["--device", "cuda:7"], "--device cuda:7"),
        (["--methods", "spa", "--param", "spa.snr=0"], "--param spa.snr"),
        (["--methods", "spa", "--param", "spa.snr=["], "--param spa.snr"),
        (["--train", "wmh"], "--train wmh: a dataset of patients"),
        (["--recipe", "paper.yaml"], "--recipe paper.yaml: No such file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(lab, cache, box, tmp_path, change, said):
    (tmp_path / "nested.yaml").write_text("param: {box: {width: 1}}\n")
    done = uad_bench(*arguments(lab, cache, box), *change, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_gpu_whose_driver_is_too_old_is_one_line(monkeypatch):
    import torch

    def ones(*_, **__):
        raise RuntimeError("The NVIDIA driver on your system is too old (found 11040). Please\n...")

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(UadBenchError, match="driver on your system is too old") as caught:
        resolve_device("cuda")
    assert "\n" not in str(caught.value)


def test_a_gpu_that_has_memory_but_cannot_compute_is_one_line(monkeypatch):
    """A GPU that this torch was not built for gives memory, and refuses to fill it."""
    import torch

    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)

    def ones(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution\n...")

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(UadBenchError, match="no kernel image is available") as caught:
        resolve_device("cuda")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "has_gpu", "expected"),
    [("auto", True, ":4096:8"), ("cuda:1", True, ":4096:8"), ("auto", False, None)],
)
def test_a_gpu_repeats_itself_whatever_it_multiplied_before_a_training(
    monkeypatch, device, has_gpu, expected
):
    """cuBLAS reads it at its first product, which may be the scoring of another method."""
    import torch

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: None)
    resolve_device(device)
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None) == expected


def test_overwrite_all_trains_again_what_it_runs_and_touches_nothing_else(
    lab, cache, box, tmp_path, monkeypatch
):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    detectors, tuning = tmp_path / "results/detectors", tmp_path / "results/tuning"
    (trained,) = detectors.glob("box-s0-*")
    (trained / "mark").touch()
    others = [detectors / "box-small-s0-deadbeef", detectors / "box-s7-deadbeef"]
    for folder in others:
        folder.mkdir()
    tuning.mkdir(exist_ok=True)
    (tuning / "box-small-x.log").touch()
    monkeypatch.setattr("sys.argv", ["uad-bench", *map(str, command), "--overwrite", "all"])
    assert uad_bench(*command, "--overwrite", "all", cwd=tmp_path).returncode == 0
    plan = json.loads((tmp_path / "results/plan.json").read_text())
    assert plan["command"] == shlex.join(["uad-bench", *map(str, command)]), "it begins not anew"
    assert trained.is_dir()
    assert not (trained / "mark").exists()
    assert all(path.is_dir() for path in others)
    assert (tuning / "box-small-x.log").is_file()


def test_overwrite_failed_where_nothing_is_yet_computes_nothing(lab, cache, box, tmp_path):
    done = uad_bench(*quick(lab, cache, box), "--overwrite", "failed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, "0 cells" in done.stderr) == ("", True)


def test_cells_of_other_data_are_neither_shown_as_this_runs_nor_replaced(lab, cache, box, tmp_path):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    cell = next((tmp_path / "results" / "cells").glob("*.json"))
    before = cell.read_bytes()
    for change in (
        ["--limit", "2"],
        ["--recipe", "paper"],
        ["--recipe", "paper", "--overwrite", "never"],
    ):
        other = uad_bench(*command, *change, cwd=tmp_path)
        assert other.returncode == 2, other.stdout
        assert f"{cell.name} stands on other data than this run" in other.stderr
        assert other.stdout == ""
        assert cell.read_bytes() == before
    replaced = uad_bench(*command, "--recipe", "paper", "--overwrite", "all", cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    assert "recipe: paper" in table(tmp_path)


def test_cells_of_an_older_protocol_are_refused_by_every_command_that_uses_them(
    lab, cache, box, tmp_path
):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    cell = next((tmp_path / "results" / "cells").glob("*.json"))
    old = {k: v for k, v in json.loads(cell.read_text()).items() if k != "protocol_version"}
    cell.write_text(json.dumps(old))
    before = sorted(tmp_path.rglob("*"))
    for more in (
        command,
        [*command, "--dry-run"],
        ["table"],
        ["plot", "cost"],
        ["report"],
        ["sync"],
    ):
        done = uad_bench(*more, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = [one for one in done.stderr.splitlines() if one.startswith("error:")]
        assert "strict, version 1" in line
        assert "--overwrite all" in line
    assert sorted(tmp_path.rglob("*")) == before
    anew = uad_bench(*command, "--overwrite", "all", "--dry-run", cwd=tmp_path)
    assert anew.returncode == 0, anew.stderr
    replaced = uad_bench(*command, "--overwrite", "all", cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    assert "Protocol strict, version 2" in table(tmp_path)


DEEP = [
    *("--methods", "spa,box", "--param", "spa.steps=1", "--param", "spa.width=2"),
    *("--trials", "1", "--param", "spa.snr=16"),
]


def test_tuning_that_only_diverges_fails_one_method_and_no_finished_cell(
    lab, cache, box, tmp_path, monkeypatch
):
    from uad_bench.errors import DivergenceError
    from uad_bench.runner.detectors.trainer import Trainer

    command = [*quick(lab, cache, box), *DEEP]
    assert uad_bench(*command, "--no-tune", cwd=tmp_path).returncode == 0

    def diverged(*_: object, **__: object) -> None:
        raise DivergenceError("the loss is no longer finite")

    monkeypatch.setattr(Trainer, "fit", diverged)
    before = {one: one.read_bytes() for one in (tmp_path / "results/cells").iterdir()}
    kept = uad_bench(*command, cwd=tmp_path)
    assert kept.returncode == 1, "untuned numbers are not passed off as tuned ones"
    assert "spa failed: every tuning trial diverged" in kept.stderr
    assert "1 cell failed; the table's footnotes say why" in kept.stderr
    assert "every tuning trial diverged" in " ".join(kept.stdout.split())
    assert before == {one: one.read_bytes() for one in (tmp_path / "results/cells").iterdir()}
    fresh = uad_bench(*command, "--results", "fresh", "--overwrite", "missing", cwd=tmp_path)
    assert fresh.returncode == 1, fresh.stderr
    assert {c.spec.method: c.state for c in load_cells(tmp_path / "fresh")} == {
        "spa": "failed",
        "box": "failed",
    }


def test_whole_numbers_are_tuned_as_whole_numbers(lab, cache, box, tmp_path):
    plugin = tmp_path / "grid.py"
    plugin.write_text(
        BOX.replace("FitReport, Method, ", "FitReport, Method, Params, tunable, ")
        .replace('"box", "Box")', '"grid", "Box")\n    objective = ("l1",)\n    Params = Sizes')
        .replace(
            "class Box", "class Sizes(Params):\n    size: int = tunable(9, 2, 32)\n\nclass Grid"
        )
        .replace("FitReport(steps=1, ", "FitReport(validation={'l1': 1 / self.params.size}, ")
    )
    command = [
        *quick(lab, cache, plugin),
        "--methods",
        "grid",
        "--trials",
        "4",
        "--objective",
        "reconstruction",
    ]
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (cell,) = load_cells(tmp_path / "results")
    assert isinstance(cell.spec.params["size"], int)
    assert cell.spec.params["size"] > 9


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_temporary_maps_ends_the_run_with_one_line(
    lab, cache, box, tmp_path, monkeypatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "none.u16").symlink_to("/dev/full")
    monkeypatch.setattr(
        "uad_bench.runner.detectors.scoring.tempfile.TemporaryDirectory",
        lambda **_: contextlib.nullcontext(tmp_path / "full"),
    )
    done = uad_bench(*quick(lab, cache, box), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "error: the disk is full while writing" in done.stderr
    assert not list((tmp_path / "results").glob("cells/*"))


def test_a_full_disk_for_weights_is_not_the_methods_failure(lab, cache, box, tmp_path, monkeypatch):
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("uad_bench.runner.detectors.folder.opened_whole", full)
    done = uad_bench(*quick(lab, cache, box), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "error: the disk is full while writing results/detectors/box-s0-" in done.stderr
    assert not list((tmp_path / "results").glob("cells/*"))
    assert not list((tmp_path / "results" / "detectors").iterdir())


def test_a_damaged_detector_says_what_to_delete_and_its_checkpoint_stays(lab, cache, box, tmp_path):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    (folder,) = (tmp_path / "results/detectors").glob("box-*")
    (cell,) = (tmp_path / "results/cells").glob("*.json")
    cell.unlink()
    (folder / "state.safetensors").write_bytes(b"")  # as a power loss may leave it
    checkpoint = folder.with_name(f".training-{folder.name}")
    checkpoint.mkdir()
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    where = f"results/detectors/{folder.name}"
    assert f"damaged, its SHA-256 is another; train the detector again: delete {where}, and" in (
        done.stderr
    )
    assert checkpoint.is_dir()
    shutil.rmtree(folder)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    assert not checkpoint.exists()


def test_a_detector_is_on_the_disk_before_it_has_its_name(lab, cache, box, tmp_path, monkeypatch):
    """Its checkpoint is removed then; a power loss would leave neither."""
    synced: list[str] = []
    sync = os.fsync

    def noted(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().parent.name)
        sync(file)

    monkeypatch.setattr("uad_bench.system.disk.os.fsync", noted)
    assert uad_bench(*quick(lab, cache, box), cwd=tmp_path).returncode == 0
    (folder,) = (tmp_path / "results/detectors").glob("box-*")
    assert synced.count(f".partial-{folder.name}") == 2


def test_dry_run_writes_nothing(lab, cache, box, tmp_path):
    done = uad_bench(*arguments(lab, cache, box), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 cells, 0 of them done" in done.stdout
    assert not (tmp_path / "results").exists()


def test_earlier_cells_say_what_the_same_takes_again(lab, cache, box, tmp_path):
    command = quick(lab, cache, box)
    first = uad_bench(*command, "--dry-run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "a probe" in first.stdout
    assert not (tmp_path / "results").exists()
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    done = uad_bench(*command, "--dry-run", cwd=tmp_path)
    assert "1 cell, 1 of them done" in done.stdout
    assert "a probe" not in done.stdout
    assert "nothing is left to do" in done.stdout
    (cell,) = load_cells(tmp_path / "results")
    (method,) = (open_registry([box]).method("box"),)
    known = costs_of_cells([cell], {"box": method}, cell.environment.device)
    assert list(known.slice_s.values()) == [
        pytest.approx(cell.environment.wall_s / cell.data.slices)
    ]
    assert known.memory_mb == cell.environment.peak_memory_mb
    assert costs_of_cells([cell], {"box": method}, "cuda:0 (another)") == Costs()
    spec = cell.spec.model_copy(update={"params": {"of_another_version": 1}})
    older = cell.model_copy(update={"spec": spec})
    assert costs_of_cells([older], {"box": method}, cell.environment.device) == Costs()
    anew = uad_bench(*command, "--dry-run", "--overwrite", "all", cwd=tmp_path)
    assert "earlier cells" in anew.stdout


def test_tuned_deep_method_is_trained_once_and_recorded(lab, cache, box, tmp_path):
    small = [f"spa.{p}" for p in ("steps=6", "width=2", "batch_size=2")]
    options = [part for item in small for part in ("--param", item)]
    command = [*quick(lab, cache, box), "--methods", "spa", "--trials", "2", *options]
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = [c for c in load_cells(tmp_path / "results") if c.spec.method == "spa"]
    assert len(cells) == 1
    assert cells[0].fit.trials == 2
    assert set(cells[0].fit.tuned) == {"beta", "snr"}
    assert cells[0].spec.params["beta"] == cells[0].fit.tuned["beta"]
    stored = json.loads((tmp_path / "results/cells" / f"{cells[0].spec.name}.json").read_text())
    assert stored["environment"]["device"].startswith("cpu")


def test_native_space_stands_beside_the_template_grid(lab, cache, box, tmp_path):
    """Both in one results folder, in cells and tables of their own, thresholds included."""
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    done = uad_bench(*command, "--space", "native", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Scored on each scan's own voxels (native space)." in " ".join(done.stdout.split())
    cells = {cell.spec.space: cell for cell in load_cells(tmp_path / "results")}
    assert cells["native"].spec.name == f"{cells['template'].spec.name}-native"
    detectors = tmp_path / "results" / "detectors"
    assert list(detectors.glob("*/validation.npz"))
    assert list(detectors.glob("*/validation-native.npz"))
    assert cells["native"].metrics["auprc"].value != cells["template"].metrics["auprc"].value
    text = table(tmp_path)
    assert text.count("**AUPRC") == 2
    assert text.count("native space") == 1
    only = uad_bench("table", "--space", "template", "-f", "markdown", cwd=tmp_path)
    assert only.stdout.count("**AUPRC") == 1
    assert "native" not in only.stdout
    assert uad_bench("plot", "cost", "--space", "native", cwd=tmp_path).returncode == 0
    wrong = uad_bench("table", "--space", "own", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--space own: unknown; available: template, native" in wrong.stderr


def test_an_edited_method_is_never_answered_from_old_cells(lab, cache, tmp_path):
    plugin = tmp_path / "box.py"
    plugin.write_text(BOX)
    command = quick(lab, cache, plugin)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    (cell,) = (tmp_path / "results" / "cells").glob("*.json")
    old, plan = cell.read_bytes(), (tmp_path / "results" / "plan.json").read_bytes()

    plugin.write_text(BOX.replace('"""A box', '"""One box'))
    same = uad_bench(*command, cwd=tmp_path)
    assert "0 computed now" in same.stderr
    assert cell.read_bytes() == old

    plugin.write_text(BOX.replace("image - 0.5", "image - 0.6"))
    assert "1 cell, 0 of them done" in uad_bench(*command, "--dry-run", cwd=tmp_path).stdout
    for overwrite in ("never", "failed"):
        kept = uad_bench(*command, "--overwrite", overwrite, cwd=tmp_path)
        assert kept.returncode == 2
        assert "error: the code of box changed since 1 cell of it came to be, and" in kept.stderr
    assert cell.read_bytes() == old
    assert (tmp_path / "results" / "plan.json").read_bytes() == plan

    anew = uad_bench(*command, cwd=tmp_path)
    assert "note: the code of box changed since 1 cell of it came to be: computed" in anew.stderr
    assert "1 computed now" in anew.stderr
    (now,) = load_cells(tmp_path / "results")
    assert now.code != json.loads(old)["code"]
    assert now.fit.detector != json.loads(old)["fit"]["detector"]
    assert len(list((tmp_path / "results" / "detectors").glob("box-*"))) == 2
    assert "0 computed now" in uad_bench(*command, cwd=tmp_path).stderr
