"""Python sweeps as the command does, and refuses in its own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_sweeps import Bench, lines

from uad_bench.errors import UadBenchError


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
