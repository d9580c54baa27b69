"""Figures for papers: the numbers of the cells, the same bytes every time, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.dom.minidom import parseString

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cells import made_cell, made_use
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import average_precision_score, precision_recall_curve

from uad_bench.cells import CellRecord, FitRecord
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scores.histograms import (
    ScoreHistogram,
    average_precision,
    precision_recall,
)
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.histogram_files import save_histograms
from uad_bench.plugins.registry import open_registry
from uad_bench.report.figures.cells import MethodView, SliceView
from uad_bench.report.plots.catalogue import FIGURES
from uad_bench.report.plots.curves import band, of_people, thinned
from uad_bench.report.plots.lesions import lesions_figure, refuse_too_many, zoomed
from uad_bench.report.plots.source import Source, make_source
from uad_bench.report.plots.style import COLUMN, ENDINGS, PAGE, encoded, explain, styled
from uad_bench.results import ResultsFolder, load_cells, write_cell

PATIENTS = 12
REGISTRY = open_registry(None)
GRID = np.linspace(0.005, 1, 200)


def scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a detector that sees something, and the lesion."""
    rng = np.random.default_rng(seed)
    lesion = (rng.random(4000) < 0.1).astype(np.uint8)
    scores = rng.integers(0, 40_000, 4000) + 15_000 * lesion.astype(int)
    return scores.astype(np.uint16), lesion


def put(root: Path, method: str, dataset: str, seed: int, *, control: bool = False) -> CellRecord:
    """Write a cell of 12 patients, ``p0`` to ``p11``, and a healthy person."""
    file = root / "histograms" / f"{method}-{seed}-{dataset}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = {f"p{k}/slice": ScoreHistogram.of(*scan(100 * seed + k)) for k in range(PATIENTS)}
    brain = {name.replace("slice", "brain"): ScoreHistogram.pooled([]) for name in whole}
    save_histograms(file, whole | brain)
    use = made_use(dataset, PATIENTS, simulated=True, manifest_hash="0")
    numbers = [
        {"auprc": (k + seed) / 20, "dice": k / 20, "prevalence": 0.001 * k, "patient_score": k / 20}
        for k in range(PATIENTS)
    ]
    people = [ScanScores(subject=f"p{k}", metrics=one) for k, one in enumerate(numbers)]
    healthy = {"healthy_volume": 2.0, "patient_score": 0.1}
    record = made_cell(
        method,
        dataset,
        seed=seed,
        protocol_version=STRICT.version,
        method_title=method.upper(),
        control=control,
        training=use,
        data=use,
        fit=FitRecord(detector="d", wall_s=20.0),
        metrics={
            "auprc": Metric(value=0.4, subjects=PATIENTS),
            "fpr": Metric(value=0.02, target=0.01),
            "lesion_recall_small": Metric(value=0.3),
            "lesion_recall_large": Metric(value=0.8),
            "patient_auroc": Metric(value=0.9),
        },
        scans=(*people, ScanScores(subject="h", metrics=healthy)),
        histograms=str(file.relative_to(root)),
    )
    write_cell(ResultsFolder(root), record)
    return record


@pytest.fixture
def records(tmp_path: Path) -> list[CellRecord]:
    cells = [put(tmp_path, "spa", name, seed) for name in ("mslub", "mine") for seed in (0, 1)]
    black = [put(tmp_path, "black", name, 0, control=True) for name in ("mslub", "mine")]
    return [*cells, put(tmp_path, "vae", "mslub", 0), put(tmp_path, "vae", "mine", 0), *black]


def source(records: list[CellRecord], root: Path) -> Source:
    return make_source(records, root, REGISTRY)


def drawn(name: str, records: list[CellRecord], root: Path) -> Figure:
    with styled():
        return FIGURES[name].draw(source(records, root))


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def test_scans_and_seeds_are_pooled_and_the_curve_is_scikit_learns(
    records: list[CellRecord], tmp_path: Path
) -> None:
    people = of_people(records[:2], tmp_path)
    assert len(people) == PATIENTS
    histogram = ScoreHistogram.pooled(people.values())
    scans = [scan(100 * seed + k) for seed in (0, 1) for k in range(PATIENTS)]
    scores, lesion = (np.concatenate(x) for x in zip(*scans, strict=True))
    assert average_precision(histogram) == pytest.approx(
        average_precision_score(lesion, scores), abs=1e-12
    )
    curve = precision_recall(histogram)
    assert curve is not None
    precision, recall, _ = precision_recall_curve(lesion, scores)
    np.testing.assert_allclose(curve.recall, recall[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.precision, precision[:-1], atol=1e-12)
    shown = set(zip(*thinned(curve), strict=True))
    assert shown <= set(zip(curve.recall, curve.precision, strict=True))
    assert 100 < len(shown) <= 400


def test_a_band_is_that_of_bootstraps_drawn_one_by_one() -> None:
    people = [ScoreHistogram.of(*scan(k)) for k in range(PATIENTS)]
    low, high = band(people)
    rng, found = np.random.default_rng(1), []
    for _ in range(200):
        some = ScoreHistogram.pooled(people[k] for k in rng.integers(PATIENTS, size=PATIENTS))
        curve = precision_recall(some)
        assert curve is not None
        at = np.searchsorted(curve.recall[::-1], [0.3, 0.5, 0.9])
        found.append(curve.precision[::-1][at])
    at = [np.abs(GRID - place).argmin() for place in (0.3, 0.5, 0.9)]
    np.testing.assert_allclose(low[at], np.percentile(found, 2.5, axis=0), atol=0.02)
    np.testing.assert_allclose(high[at], np.percentile(found, 97.5, axis=0), atol=0.02)


def test_the_area_below_the_line_is_the_average_precision_where_many_scores_are_equal(
    records: list[CellRecord], tmp_path: Path
) -> None:
    """A straight line from 0.3 to 1 once promised what no threshold reaches: half of it is zero."""
    (record, *_), found = records, scan(0)
    assert record.histograms is not None
    scores, lesion = np.where(found[0] > 40_000, found[0], 0), found[1]
    histogram = ScoreHistogram.of(scores.astype(np.uint16), lesion)
    save_histograms(tmp_path / record.histograms, {"p0/slice": histogram})
    record = record.model_copy(update={"scans": record.scans[:1]})
    (line,) = drawn("precision-recall", [record], tmp_path).axes[0].lines
    assert line.get_drawstyle() == "steps-pre"
    recall, precision = (np.asarray(axis, float) for axis in line.get_data())
    area = np.sum(np.diff(recall, prepend=0) * precision)
    assert area == pytest.approx(average_precision_score(lesion, scores), abs=0.01)
    straight = np.trapezoid(precision, recall)
    assert straight > area + 0.05


def test_scans_of_one_person_are_drawn_together_and_healthy_people_make_no_band(
    tmp_path: Path,
) -> None:
    """Several sessions once counted as as many patients: a band over too many is too narrow."""
    for healthy, people in ((False, 4), (True, PATIENTS)):
        record = put(tmp_path, "spa", "mslub", 0)
        assert record.histograms is not None
        scans = [
            ScanScores(subject=f"p{k % people}", session=f"s{k // people}", metrics={})
            for k in range(PATIENTS)
        ]
        parts = [scan(k) for k in range(PATIENTS)]
        lesions = [
            np.zeros_like(one) if healthy and k > 8 else one for k, (_, one) in enumerate(parts)
        ]
        stored = {
            f"{one.name}/slice": ScoreHistogram.of(scores, lesion)
            for one, (scores, _), lesion in zip(scans, parts, lesions, strict=True)
        }
        save_histograms(tmp_path / record.histograms, stored)
        record = record.model_copy(update={"scans": tuple(scans)})
        assert set(of_people([record], tmp_path)) == {f"p{k}" for k in range(people)}
        assert "Bands" not in " ".join(words(drawn("precision-recall", [record], tmp_path)))


@pytest.mark.parametrize(("place", "name"), enumerate(FIGURES))
def test_the_same_records_give_the_same_bytes_sized_for_a_paper(
    place: int, name: str, records: list[CellRecord], tmp_path: Path
) -> None:
    ending = ENDINGS[place % len(ENDINGS)]
    figures = [drawn(name, records, tmp_path) for _ in range(2)]
    with styled():
        once, again = (encoded(figure, ending) for figure in figures)
    assert once == again
    assert once.startswith({"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}[ending])
    assert figures[0].get_figwidth() in (COLUMN, PAGE)
    text = " ".join(words(figures[0]))
    assert "(simulated)" in text
    assert "Control" in text


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_overlaps_however_many_methods_there_are(name: str, tmp_path: Path) -> None:
    """The legend once lay on the notes, and took its room from the panels."""
    cells = [put(tmp_path, f"method{number}", "mslub", number) for number in range(9)]
    with styled():
        figures = [drawn(name, some, tmp_path) for some in (cells[:3], cells)]
        for figure in figures:
            encoded(figure, "png")
            (panel, *_), legends = figure.axes, figure.legends
            height = figure.get_figheight()
            assert panel.get_position().height * height > 0.3
            for legend in legends:
                box = legend.get_window_extent().transformed(figure.transFigure.inverted())
                assert box.y1 <= panel.get_position().y0
                assert box.y0 >= 0


def test_methods_differ_in_marker_and_post_processings_in_dashes(
    records: list[CellRecord], tmp_path: Path
) -> None:
    star = [
        one.model_copy(update={"spec": one.spec.model_copy(update={"postprocessing": "star"})})
        for one in records
    ]
    both = make_source([*records, *star], tmp_path, REGISTRY)
    found = {ink.label: ink for ink in both.inks}
    assert found["SPA"].colour == found["SPA*"].colour
    assert found["SPA"].dashes != found["SPA*"].dashes
    assert (found["SPA"].filled, found["SPA*"].filled) == (True, False)
    assert found["SPA"].colour != found["BLACK†"].colour
    assert found["SPA"].marker != found["BLACK†"].marker
    assert any(note.startswith("*: positive residual") for note in both.notes)


def test_a_method_looks_the_same_whatever_else_is_drawn(
    records: list[CellRecord], tmp_path: Path
) -> None:
    alone = make_source(
        [one for one in records if one.spec.method == "vae"], tmp_path, REGISTRY, everyone=records
    )
    every = {ink.label: ink for ink in source(records, tmp_path).inks}
    assert {ink.label: ink for ink in alone.inks} == {"VAE": every["VAE"]}


def test_a_failed_cell_is_named_and_data_that_differ_are_refused(
    records: list[CellRecord], tmp_path: Path
) -> None:
    failed = records[0].model_copy(update={"state": "failed", "reason": "no", "metrics": {}})
    said = said_by(drawn("patients", [failed, *records[1:]], tmp_path))
    assert "Drawn without seeds that failed: SPA (seed 0) on MSLUB." in said
    assert "not drawn" not in said
    both = records[1].model_copy(update={"state": "failed", "reason": "no", "metrics": {}})
    said = said_by(drawn("patients", [failed, both, *records[2:]], tmp_path))
    assert "Failed, and not drawn: SPA on MSLUB." in said
    data = records[0].data
    assert data is not None
    other = data.model_copy(update={"manifest_hash": "1"})
    mixed = records[0].model_copy(update={"data": other})
    with pytest.raises(
        UadBenchError, match=r"stand on different data .*: mslub \(SPA on 0, SPA on 1\)"
    ):
        source([mixed, *records[1:]], tmp_path)


def test_a_method_that_learned_from_the_dataset_is_drawn_and_marked(
    records: list[CellRecord], tmp_path: Path
) -> None:
    taught = put(tmp_path, "unet", "mslub", 0)
    data = made_use("mslub", 4, simulated=True, manifest_hash="part")
    taught = taught.model_copy(
        update={
            "spec": taught.spec.model_copy(update={"supervised_on": "mslub"}),
            "supervised": True,
            "data": data,
        }
    )
    for name in FIGURES:
        said = " ".join(words(drawn(name, [*records, taught], tmp_path))).replace("\n", " ")
        assert f"UNET (MSLUB) on 4 of {PATIENTS} subjects of MSLUB." in said
        ranked = name == "critical-difference"
        assert ("Not ranked, because tested on a part of a dataset: UNET" in said) is ranked
    other = data.model_copy(update={"manifest_hash": "another"})
    mixed = taught.model_copy(
        update={"data": other, "spec": taught.spec.model_copy(update={"seed": 1})}
    )
    with pytest.raises(UadBenchError, match=r"different data .* on another, .* on part"):
        source([*records, taught, mixed], tmp_path)


def test_a_person_counts_once_with_the_mean_over_seeds(
    records: list[CellRecord], tmp_path: Path
) -> None:
    shown = source(records, tmp_path)
    spa = [column.method for column in shown.arrangement.columns].index("spa")
    people = shown.people((0, spa), "auprc")
    assert people == pytest.approx({f"p{k}": (k + 0.5) / 20 for k in range(PATIENTS)})


def test_a_name_with_a_dollar_or_an_underscore_is_shown_as_it_is(tmp_path: Path) -> None:
    for method in ("_a$b$", "c", "d"):
        put(tmp_path, method, "x$y_z$", 0)
    for name in FIGURES:
        figure = drawn(name, list(load_cells(tmp_path)), tmp_path)
        encoded(figure, "png")
        assert any("_A$B$" in text for text in words(figure))


@pytest.mark.filterwarnings("error")
def test_a_letter_that_no_font_has_is_written_as_its_code(tmp_path: Path) -> None:
    for method in ("größe-中", "c", "d"):
        put(tmp_path, method, "mslub", 0)
    for name in FIGURES:
        with styled():
            figure = drawn(name, list(load_cells(tmp_path)), tmp_path)
            encoded(figure, "svg")
        assert any("GRÖSSE-[U+4E2D]" in text for text in words(figure))


def test_long_names_of_datasets_do_not_overlap_and_every_column_of_panels_has_numbers(
    tmp_path: Path,
) -> None:
    names = [f"dataset {number} of a hospital and healthy people" for number in range(7)]
    records = [put(tmp_path, "spa", name, 0) for name in names]
    with styled():
        for name in ("thresholds", "precision-recall", "patients", "lesion-size"):
            figure = drawn(name, records, tmp_path)
            encoded(figure, "png")
            figure.set_dpi(300)  # that of the picture, whose renderer measures the words
            texts = [axes.title for axes in figure.axes]
            if name == "thresholds":
                texts = figure.axes[0].get_xticklabels()
            boxes = [text.get_window_extent() for text in texts if text.get_text()]
            assert len(boxes) == len(names)
            assert not any(
                one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at]
            )
            assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
            if name != "thresholds":
                assert [bool(axes.get_xlabel()) for axes in figure.axes[:7]] == [False] * 4 + [
                    True
                ] * 3
                for axes in figure.axes[4:7]:
                    assert any(text.get_text() for text in axes.get_xticklabels())


def test_a_number_and_its_percent_sign_are_on_one_line() -> None:
    for length in range(150):
        figure = Figure(figsize=(PAGE, 2))
        explain(figure, (), "a" * length, "1 % and 95 % of it")
        (text,) = words(figure)
        assert "\n%" not in text
        assert "1 %" in text


def test_a_control_character_in_a_name_leaves_an_svg_whole() -> None:
    with styled():
        figure = Figure()
        figure.suptitle("a\x1bb\x0cc\nd", parse_math=False)
        drawing = encoded(figure, "svg")
    parseString(drawing)
    assert words(figure) == ["a[U+001B]b[U+000C]c\nd"]


def said_by(figure: Figure) -> str:
    return " ".join(" ".join(words(figure)).split())


def test_a_rate_of_zero_is_drawn_and_said(records: list[CellRecord], tmp_path: Path) -> None:
    none = {"fpr": Metric(value=0.0, target=0.01)}
    silent = records[0].model_copy(update={"metrics": records[0].metrics | none})
    some = [silent, *records[4:]]
    figure = drawn("thresholds", some, tmp_path)
    lowest = min(float(np.min(line.get_ydata())) for line in figure.axes[0].lines)
    assert lowest == pytest.approx(0.001)
    assert "Fewer than 0.001 %, also none, are drawn at 0.001 %." in said_by(figure)
    assert "also none" not in said_by(drawn("thresholds", records, tmp_path))


def test_a_mean_over_fewer_datasets_says_so(records: list[CellRecord], tmp_path: Path) -> None:
    assert "fewer datasets" not in said_by(drawn("cost", records, tmp_path))
    without = [one for one in records if (one.spec.method, one.spec.dataset) != ("vae", "mine")]
    said = said_by(drawn("cost", without, tmp_path))
    assert "Mean over 2 datasets." in said
    assert "Over fewer datasets, and not comparable: VAE (1)." in said


def test_what_lacks_a_training_or_histograms_is_named(
    records: list[CellRecord], tmp_path: Path
) -> None:
    """It is in the legend, and nowhere in the panels."""
    untimed = [
        one.model_copy(update={"fit": None}) if one.spec.method == "vae" else one for one in records
    ]
    said = said_by(drawn("cost", untimed, tmp_path))
    assert "Not drawn, because no training is known: VAE." in said
    assert "no training" not in said_by(drawn("cost", records, tmp_path))
    bare = [records[0].model_copy(update={"histograms": None}), *records[1:]]
    said = said_by(drawn("precision-recall", bare, tmp_path))
    assert "Cells without score histograms are not drawn: SPA on MSLUB." in said
    assert "histograms" not in said_by(drawn("precision-recall", records, tmp_path))


def test_cost_takes_a_metric_of_all_subjects_and_figures_of_scans_refuse_it(
    records: list[CellRecord], tmp_path: Path
) -> None:
    asked = make_source(records, tmp_path, REGISTRY, metric="patient_auroc")
    with styled():
        figure = FIGURES["cost"].draw(asked)
    assert {float(line.get_ydata()[0]) for line in figure.axes[0].lines} == {0.9}
    for name in ("patients", "lesion-load"):
        with styled(), pytest.raises(UadBenchError, match="--metric patient_auroc: no scan has it"):
            FIGURES[name].draw(asked)


def test_healthy_people_are_no_patients_where_maps_have_no_threshold(
    records: list[CellRecord], tmp_path: Path
) -> None:
    """Who is healthy follows from a volume at a threshold, which maps made elsewhere may lack."""
    *patients, well = records[-3].scans
    metrics = {name: value for name, value in well.metrics.items() if name != "healthy_volume"}
    bare = [
        one.model_copy(update={"scans": (*one.scans[:-1], replace(well, metrics=metrics))})
        for one in records
    ]

    def patients_drawn(some: list[CellRecord]) -> set[int]:
        figure = drawn("detection", some, tmp_path)
        lines = [line for panel in figure.axes for line in panel.lines]
        return {len(line.get_xdata()) for line in lines if line.get_color() == "#d55e00"}

    assert patients_drawn(records) == {len(patients)}
    mixed = [*bare[:4], *records[4:]]
    assert patients_drawn(mixed) == {len(patients)}
    unknown = [one for one in bare if one.spec.dataset == "mine"]
    known = [one for one in records if one.spec.dataset == "mslub"]
    assert patients_drawn([*known, *unknown]) == {len(patients)}
    said = said_by(drawn("detection", [*known, *unknown], tmp_path))
    assert "Not drawn, because no map there has a threshold: mine." in said


def test_a_dataset_without_healthy_people_promises_no_auroc(
    records: list[CellRecord], tmp_path: Path
) -> None:
    lone = [
        one.model_copy(
            update={
                "scans": one.scans[:-1],
                "metrics": {k: v for k, v in one.metrics.items() if k != "patient_auroc"},
            }
        )
        if one.spec.dataset == "mine"
        else one
        for one in records
    ]
    figure = drawn("detection", lone, tmp_path)
    labels = {panel.get_title(): panel.get_xlabel() for panel in figure.axes}
    (alone,) = [name for name in labels if name.startswith("mine")]
    assert labels.pop(alone) == "score of a person"
    assert set(labels.values()) == {"score of a person; right: AUROC"}
    said = said_by(figure)
    assert "No AUROC, which needs both patients and healthy people: mine." in said
    assert "A point is a subject (mean over seeds)." in said
    assert "No AUROC" not in said_by(drawn("detection", records, tmp_path))


def test_what_cannot_be_drawn_is_one_line(records: list[CellRecord], tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match="no finished cell of protocol paper"):
        make_source(records, tmp_path, REGISTRY, protocol="paper")
    with pytest.raises(UadBenchError, match="--metric nosuch: no scan has it; there are: auprc"):
        make_source(records, tmp_path, REGISTRY, metric="nosuch")
    alone = [one.model_copy(update={"scans": one.scans[:-1]}) for one in records]
    with pytest.raises(UadBenchError, match="no dataset with healthy people"):
        drawn("detection", alone, tmp_path)
    for file in (tmp_path / "histograms").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(UadBenchError, match="cannot read the score histograms"):
        drawn("precision-recall", records, tmp_path)


def test_cells_of_another_version_of_the_protocol_are_not_drawn(
    records: list[CellRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = STRICT.version
    old = records[0].model_copy(update={"protocol_version": version - 1})
    write_cell(ResultsFolder(tmp_path), old)
    assert main(["plot", "patients", "--results", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"follow protocol strict, version {version - 1}, and" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "patients.pdf").exists()


@pytest.mark.usefixtures("records")
def test_the_command_lists_figures_and_writes_what_the_ending_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot"]) == 0
    assert "precision-recall" in capsys.readouterr().out
    here = ["--results", str(tmp_path)]
    assert main(["plot", "patients", *here]) == 0
    file = tmp_path / "patients.pdf"
    assert capsys.readouterr().out.strip() == str(file)
    assert file.read_bytes().startswith(b"%PDF")
    svg = tmp_path / "a.svg"
    assert main(["plot", "cost", *here, "-o", str(svg), "--controls", "none"]) == 0
    assert b"<svg" in svg.read_bytes()
    for wrong, said in (
        (["plot", "nosuch", *here], "no figure nosuch; there are: precision-recall,"),
        (["plot", "cost", *here, "-o", "a.jpg"], "a.jpg: write .pdf, .svg or .png"),
        (["plot", "cost", *here, "--protocol", "strickt"], "Did you mean 'strict'?"),
        (["plot", "thresholds", *here, "--metric", "dice"], "of no metric of choice"),
    ):
        assert main(wrong) == 2
        assert said in capsys.readouterr().err


def slice_view(title: str, lesion: np.ndarray, *, methods: int = 2) -> SliceView:
    image = np.full(lesion.shape, 0.5, np.float32)
    made = [
        MethodView(f"m{at}", image * lesion, image if at % 2 else None) for at in range(methods)
    ]
    return SliceView(title, True, image, lesion, tuple(made))


@given(
    shape=st.tuples(st.integers(20, 60), st.integers(20, 60)),
    corner=st.tuples(st.integers(0, 19), st.integers(0, 19)),
    size=st.integers(0, 30),
)
def test_the_zoom_is_inside_the_slice_and_holds_the_lesion(shape, corner, size) -> None:
    lesion = np.zeros(shape, np.uint8)
    lesion[corner[0] : corner[0] + size, corner[1] : corner[1] + size] = 1
    box = zoomed(lesion)
    assert lesion[box].sum() == lesion.sum()
    for one, whole in zip(box, shape, strict=True):
        assert 0 <= one.start < one.stop <= whole


def test_the_names_beside_rows_of_lesions_are_on_the_page_and_apart() -> None:
    lesion = np.zeros((40, 32), np.uint8)
    lesion[5:9, 20:24] = 1
    titles = (
        "msi and healthy people of one hospital",
        "MSLUB",
        "msi and healthy people of another",
    )
    with styled():
        figure = lesions_figure([slice_view(title, lesion) for title in titles], "A note.")
        figure.draw_without_rendering()
        boxes = [axes.yaxis.label.get_window_extent() for axes in figure.axes if axes.get_ylabel()]
    assert len(boxes) == 3
    assert min(box.x0 for box in boxes) >= 0
    for above, below in pairwise(boxes):
        assert above.y0 > below.y1


def test_lesions_has_a_row_per_dataset_and_more_panels_than_fit_are_refused() -> None:
    lesion = np.zeros((40, 32), np.uint8)
    lesion[5:9, 20:24] = 1
    views = [slice_view("One", lesion), slice_view("Two $x$", np.zeros_like(lesion))]
    with styled():
        figure = lesions_figure(views, "A note.")
        assert encoded(figure, "svg") == encoded(lesions_figure(views, "A note."), "svg")
    assert len(figure.axes) == 2 * 5  # slice, lesion, two maps, one reconstruction
    assert {"One (simulated)", "Two $x$ (simulated)", "m1\nreconstruction"} <= set(words(figure))
    refuse_too_many(10)
    with pytest.raises(UadBenchError, match="13 panels do not fit side by side, 12 do; choose"):
        refuse_too_many(11)
