"""A sweep's table and figure show what was measured, and what failed."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from uad_bench.cells import DatasetUse
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.report.figures.sweep import Shown, Sweep, Training, ValueView, sweep_csv, sweep_rows
from uad_bench.report.figures.sweep_file import read_sweep, sweep_bytes
from uad_bench.report.plots.style import encoded, styled
from uad_bench.report.plots.sweep import _curve, sweep_figure


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


def test_the_legend_of_the_tissues_is_above_all_that_a_dice_can_be() -> None:
    figure = Figure(figsize=(1.28, 1.2))
    axes = figure.add_axes((0, 0, 1, 1))
    with styled():
        _curve(axes, _sweep((1.0, 2.0), log=False), ["Dice CSF", "Dice GM", "Dice WM"], "Dice")
        figure.draw_without_rendering()
        (box,) = [legend.get_window_extent() for legend in [axes.get_legend()]]
    assert axes.transData.inverted().transform((box.x0, box.y0))[1] > 1
    assert axes.bbox.x0 <= box.x0
    assert box.x1 <= axes.bbox.x1


@pytest.mark.parametrize("first", [2.0, 2.5])
def test_the_axis_of_a_curve_is_above_the_titles_of_the_slices(first: float) -> None:
    """Values that were turned pushed the axis' label down into the titles."""
    values = tuple(first * 10.0**-power for power in range(7, 2, -1))
    with styled():
        figure = sweep_figure(_sweep(values, log=True))
        figure.draw_without_rendering()
        lows = [
            axes.xaxis.label.get_window_extent().y0 for axes in figure.axes if axes.get_xlabel()
        ]
        highs = [axes.title.get_window_extent().y1 for axes in figure.axes if axes.images]
    assert min(lows) > max(highs) + 5


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
