"""Figures that score scans again: the numbers of the run, and what they cannot be made from."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import uad_bench as ub
from uad_bench.cli import main
from uad_bench.evaluation.froc import LesionCounts, count_lesions, froc, froc_thresholds
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.front.figures import latent_maps, lesion_counts, lesion_slices
from uad_bench.plugins.registry import open_registry
from uad_bench.report.plots.froc import froc_figure
from uad_bench.report.plots.latent import LatentView, latent_figure
from uad_bench.report.plots.source import make_source

BANDS = '''
"""Bands of intensity as tissues (Nobody 2026)."""
import numpy as np

from uad_bench.method import FitReport, MethodInfo, ReconstructionMethod, TissueMapping


class Bands(ReconstructionMethod, TissueMapping):
    """A darker copy."""

    info = MethodInfo("bands", "Bands")

    def fit(self, train, validation, context):
        return FitReport()

    def reconstruct(self, slices):
        return (slices.image * np.float32(0.5)).astype(np.float32)

    def tissues(self, slices):
        image = slices.image[:, 0]
        dark, bright = image < 0.2, image >= 0.5
        return np.stack([dark, bright, ~dark & ~bright, 0 * image], axis=1).astype(np.float32)
'''


@pytest.fixture(scope="module")
def ran(lab, prepared, tmp_path_factory) -> ub.Results:
    """A run of two methods; one has tissue maps."""
    folder = tmp_path_factory.mktemp("scored")
    plugin = folder / "bands.py"
    plugin.write_text(BANDS)
    return ub.run(
        ["thresholding", "bands"], "mslub", data_root=str(lab), controls=[], plugin=plugin,
        results=folder / "results", cache=prepared, mlflow=False, progress=False,
    )  # fmt: skip


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What was given to the drawing of curves."""
    seen: list[tuple] = []

    def draw(source, curves, *said):
        seen.append((source, curves, said))
        return Figure()

    monkeypatch.setattr(lesion_counts, "froc_figure", draw)
    return seen


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def test_at_the_run_s_threshold_froc_counts_what_the_run_counted(
    ran, prepared, drawn, monkeypatch, tmp_path
):
    wanted = {}
    for record in ran.cells:
        threshold = round(record.thresholds["fpr1"] * 65535)
        wanted[record.spec.method, record.spec.postprocessing] = threshold, record
    counts = {}

    def counted(scan, thresholds):
        mine = count_lesions(scan, [*thresholds, *(one for one, _ in wanted.values())])
        counts.setdefault(len(counts), (scan, mine))
        return mine

    monkeypatch.setattr(lesion_counts, "count_lesions", counted)
    ran.plot("froc", tmp_path / "a.svg", cache=prepared, progress=False)
    ((source, curves, _),) = drawn
    names = [(one.method, one.postprocessing) for one in source.arrangement.columns]
    assert {names[column] for _, column in curves} == wanted.keys()
    scans = list(counts.values())
    for at, name in enumerate(key for key in wanted if key[0] == names[0][0]):
        _, record = wanted[name]
        each = len(record.scans)
        for own, (scan, mine) in zip(record.scans, scans[at * each : (at + 1) * each], strict=True):
            place = list(wanted).index(name) - len(wanted)
            assert own.metrics["false_findings"] == mine.false[place]
            recall = own.metrics["lesion_recall"]
            assert (recall is None) == (mine.lesions == 0)
            assert recall is None or recall == pytest.approx(mine.found[place] / mine.lesions)
            assert own.subject == scan.subject


def test_froc_is_drawn_where_a_protocol_keeps_no_scores_of_the_brain_alone(
    lab, prepared, drawn, tmp_path
):
    """It blamed the training dataset's brain masks."""
    paper = ub.run(
        ["thresholding"], "mslub", data_root=str(lab), controls=[], protocol="paper",
        results=tmp_path / "results", cache=prepared, mlflow=False, progress=False,
    )  # fmt: skip
    paper.plot("froc", tmp_path / "a.svg", protocol="paper", cache=prepared, progress=False)
    ((_, curves, _),) = drawn
    assert curves


def test_froc_rises_and_says_what_is_not_drawn(ran, prepared, drawn, tmp_path):
    some = tuple(
        one.model_copy(update={"fit": None}) if one.spec.method == "bands" else one
        for one in ran.cells
    )
    few = ub.Results(ran.folder, some, plugin=ran.plugin)
    few.plot("froc", tmp_path / "a.svg", cache=prepared, progress=False)
    ((_, curves, said),) = drawn
    for false, found in curves.values():
        assert (np.diff(false) > 0).all()
        assert (np.diff(found) > 0).all()
    assert "Not everywhere drawn, because no detector is stored: Bands, Bands*." in said


@pytest.mark.parametrize(("least", "said"), [(0.0, True), (0.05, True), (0.1, False), (2, False)])
def test_froc_says_where_what_its_axis_has_no_room_for_is_drawn(ran, least, said):
    """A logarithmic axis has no zero: a curve without false findings begins at its end."""
    registry = open_registry(ran.plugin)
    source = make_source(ran.cells, ran.folder, registry, protocol="strict", space="template")
    curve = np.array([least, 4.0]), np.array([0.25, 0.75])
    figure = froc_figure(source, {(0, 0): curve})
    (line,) = (one for one in figure.axes[0].lines if len(one.get_xdata()) == 2)
    assert line.get_xdata()[0] == max(least, 0.1)
    assert ("Fewer than 0.1 false findings per scan, also none, are drawn" in words(figure)) == said


def test_thresholds_of_froc_are_reached_by_ever_more_healthy_voxels():
    scores = np.random.default_rng(0).integers(0, 60_000, 100_000).astype(np.uint16)
    histogram = ScoreHistogram.of(scores, np.zeros(scores.shape, np.uint8))
    thresholds = froc_thresholds(histogram)
    assert list(thresholds) == sorted(set(thresholds), reverse=True)
    assert (scores >= thresholds[0]).mean() <= 1e-6
    assert (scores >= thresholds[-1]).mean() == pytest.approx(0.2, abs=1e-3)


def test_a_perfect_map_finds_every_lesion_without_a_false_finding():
    lesion = np.zeros((2, 12, 12), np.uint8)
    lesion[0, 2:4, 2:4] = lesion[1, 8:10, 8:10] = 1
    scan = ScoredScan(
        "p", None, lesion * np.uint16(60_000), lesion, np.ones(lesion.shape, bool),
        (1.0, 1.0, 1.0), np.array([0, 5]),
    )  # fmt: skip
    false, found = froc([count_lesions(scan, [60_001, 60_000, 1])])
    assert (false.tolist(), found.tolist()) == ([0.0], [1.0])
    assert froc([LesionCounts(0, np.zeros(1, int), np.ones(1, int))]) is None


def test_latent_maps_are_of_the_method_that_has_them(ran, prepared, tmp_path, capsys):
    file = tmp_path / "latent.svg"
    ran.plot("latent", file, cache=prepared)
    assert file.read_bytes().count(b"<image") == 2 * 7  # healthy and a patient: slice, maps, ...
    told = capsys.readouterr()
    assert "map tissues of healthy people with Bands" in told.err
    assert told.out == ""
    with pytest.raises(ub.UadBenchError, match="no method with latent tissue maps, such as spa,"):
        ran.plot("latent", file, cache=prepared, methods="thresholding")


def test_the_profile_is_that_of_the_row_with_most_lesion():
    brain = np.zeros((20, 16), bool)
    brain[2:18, 3:13] = True
    image = np.where(brain, 0.5, 0).astype(np.float32)
    lesion = np.zeros(brain.shape, np.uint8)
    lesion[7, 5:9] = lesion[8, 6] = 1
    image[7, 5:9] = 0.9
    tissues = np.stack([image * share for share in (0.1, 0.2, 0.3, 0.4)])
    views = [
        LatentView("One $x$", image, brain, lesion, tissues, image / 2),
        LatentView("healthy", image, brain, None, tissues, image / 2),
    ]
    figure = latent_figure(views, "A note.")
    profiles = [axes for axes in figure.axes if not axes.images]
    assert len(profiles) == len(figure.axes) / 2 == 2 * 7
    np.testing.assert_allclose(profiles[0].lines[0].get_ydata(), image[7])
    np.testing.assert_allclose(profiles[1].lines[0].get_ydata(), tissues[0, 7])
    assert views[1].line == 2  # the first of the rows with most brain
    assert "One $x$" in words(figure)


def test_too_many_panels_are_refused_before_anything_is_scored(
    ran, prepared, tmp_path, monkeypatch
):
    monkeypatch.setattr(lesion_slices, "signed_residual", lambda *_: pytest.fail("scored"))
    many = [
        one.model_copy(update={"spec": one.spec.model_copy(update={"params": {"size": at}})})
        for one in ran.cells
        for at in range(4)
    ]
    results = ub.Results(ran.folder, tuple(many), plugin=ran.plugin)
    with pytest.raises(ub.UadBenchError, match="26 panels do not fit side by side, 12 do; choose"):
        results.plot("lesions", tmp_path / "a.pdf", cache=prepared, progress=False)


def test_controls_that_nobody_named_give_way_to_methods(ran, prepared, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(lesion_slices, "lesions_figure", lambda *one: seen.append(one) or Figure())
    some = [one for one in ran.cells if one.spec.method == "bands"]
    as_control = {"method": "control-black"}
    controls = [
        one.model_copy(
            update={
                "control": True,
                "spec": one.spec.model_copy(update=as_control | {"params": at}),
            }
        )
        for one in some
        for at in ({"size": 1}, {"size": 2})
    ]
    results = ub.Results(ran.folder, (*some, *controls), plugin=ran.plugin)
    results.plot("lesions", tmp_path / "a.pdf", cache=prepared, progress=False)
    ((views, said),) = seen
    assert len(views[0].methods) == len(some)
    assert "Controls do not fit beside the methods, and are not shown." in said
    assert "† Control." not in said
    with pytest.raises(ub.UadBenchError, match="14 panels do not fit side by side"):
        results.plot(
            "lesions", tmp_path / "a.pdf", cache=prepared, progress=False, controls="control-black"
        )
    few = ub.Results(ran.folder, (*some, *controls[:1]), plugin=ran.plugin)
    few.plot("lesions", tmp_path / "a.pdf", cache=prepared, progress=False)
    assert len(seen[1][0][0].methods) == len(some) + 1
    assert "Controls do not fit" not in seen[1][1]


def test_datasets_that_nobody_named_give_way_where_the_page_ends(
    ran, prepared, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(latent_maps, "latent_figure", lambda *one: seen.append(one) or Figure())
    more = [
        one.model_copy(update={"spec": one.spec.model_copy(update={"dataset": name})})
        for one in ran.cells
        for name in ("brats", "gbi", "msi", "wmh")
    ]
    results = ub.Results(ran.folder, (*ran.cells, *more), plugin=ran.plugin)
    results.plot("latent", tmp_path / "a.pdf", cache=prepared, progress=False)
    ((views, said),) = seen
    shown = [view.title.removesuffix(" (simulated)") for view in views[1:]]
    assert shown == ["MSLUB", "BraTS", "GBI", "MSI"]
    assert said.endswith("Not shown for want of room: WMH.")
    with pytest.raises(ub.UadBenchError, match="6 rows do not fit on a page, 5 do; choose with"):
        results.plot(
            "latent", tmp_path / "a.pdf", cache=prepared, progress=False,
            datasets="mslub,brats,gbi,msi,wmh",
        )  # fmt: skip


@pytest.mark.parametrize("name", ["froc", "lesions"])
def test_a_detector_that_cannot_be_loaded_is_told_before_anything_is_scored(
    ran, prepared, tmp_path, monkeypatch, name
):
    for module in (lesion_counts, lesion_slices):
        scores = "anomaly_maps" if module is lesion_counts else "signed_residual"
        monkeypatch.setattr(module, scores, lambda *_: pytest.fail("scored"))
    last = ran.cells[-1]
    lost = last.model_copy(update={"fit": last.fit.model_copy(update={"detector": "zzz"})})
    results = ub.Results(ran.folder, (*ran.cells[:-1], lost), plugin=ran.plugin)
    with pytest.raises(ub.UadBenchError, match="zzz"):
        results.plot(name, tmp_path / "a.pdf", cache=prepared, progress=False)


def test_options_of_other_figures_are_one_line(ran, tmp_path, capsys, prepared):
    here = ["--results", str(ran.folder), "-o", str(tmp_path / "a.pdf"), "--cache", str(prepared)]
    here += ["--plugin", str(ran.plugin[0])]
    for wrong, said in (
        (["plot", "froc", "--metric", "dice"], "of no metric of choice"),
        (["plot", "cost", "--swept", "spa.beta"], "--swept spa.beta: figure cost is of no sweep"),
        (["plot", "sweep", "--methods", "spa"], "choose the sweep with --swept"),
        (["plot", "sweep"], "no sweep; `uad-bench sweep METHOD.NAME` makes one"),
        (["plot", "froc", "--device", "cuda:99"], "cuda:99"),
    ):
        assert main([*wrong, *here]) == 2
        told = capsys.readouterr().err
        assert said in told
        assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())
