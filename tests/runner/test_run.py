"""A run from NIfTI to table on a miniature lab: repeatable, and resumable."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from box_runs import BOX, Done, arguments, quick, table, uad_bench

from uad_bench.results import load_cells

SCRIPT = str(Path(sys.executable).with_name("uad-bench"))


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
