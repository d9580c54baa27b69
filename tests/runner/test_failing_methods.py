"""A method or a scan that fails is named, and stops nobody."""

from __future__ import annotations

import pytest
from box_runs import BOX, arguments, quick, table, uad_bench

from uad_bench.results import load_cells


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
