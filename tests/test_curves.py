"""Precision-recall curves: the pooled histograms' own, one panel per dataset, the same bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, precision_recall_curve

from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import ScoreHistogram, average_precision, precision_recall
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.histogram_files import save_histograms
from uad_bench.report.figures.curves import curves_picture, pooled, thinned
from uad_bench.results import ResultsFolder, write_cell

ENVIRONMENT = Environment(
    versions={}, git_commit=None, device="cpu", started="", wall_s=1.0, peak_memory_mb=1.0
)


def scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a detector that sees something, and the lesion."""
    rng = np.random.default_rng(seed)
    lesion = (rng.random(4000) < 0.1).astype(np.uint8)
    scores = rng.integers(0, 40_000, 4000) + 15_000 * lesion.astype(int)
    return scores.astype(np.uint16), lesion


def put(root: Path, method: str, dataset: str, seed: int, *, control: bool = False) -> CellRecord:
    spec = CellSpec(
        method=method, seed=seed, dataset=dataset, protocol="strict", postprocessing="none"
    )
    file = root / "histograms" / f"{spec.name}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = {f"p{k}/slice": ScoreHistogram.of(*scan(10 * seed + k)) for k in (1, 2)}
    brain = {name.replace("slice", "brain"): ScoreHistogram.pooled([]) for name in whole}
    save_histograms(file, whole | brain)
    use = DatasetUse(
        dataset=dataset,
        simulated=True,
        manifest_hash="0",
        recipe="median",
        subjects=2,
        scans=2,
        slices=2,
    )
    record = CellRecord(
        spec=spec,
        state="done",
        protocol_version=STRICT.version,
        method_title=method.upper(),
        control=control,
        training=use,
        data=use,
        histograms=str(file.relative_to(root)),
        environment=ENVIRONMENT,
    )
    write_cell(ResultsFolder(root), record)
    return record


@pytest.fixture
def records(tmp_path: Path) -> list[CellRecord]:
    cells = [put(tmp_path, "spa", name, seed) for name in ("mslub", "mine") for seed in (0, 1)]
    return [*cells, put(tmp_path, "black", "mslub", 0, control=True)]


def test_scans_and_seeds_are_pooled_and_the_curve_is_scikit_learns(
    records: list[CellRecord], tmp_path: Path
) -> None:
    histogram = pooled(records[:2], tmp_path)
    scores, lesion = (np.concatenate(x) for x in zip(*map(scan, (1, 2, 11, 12)), strict=True))
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


def test_the_same_records_give_the_same_picture_whatever_their_order(
    records: list[CellRecord], tmp_path: Path
) -> None:
    once = curves_picture(records, tmp_path, STRICT, [NONE, STAR])
    assert curves_picture(list(reversed(records)), tmp_path, STRICT, [NONE, STAR]) == once
    one_dataset = curves_picture(records[:2], tmp_path, STRICT, [NONE, STAR])
    sizes = [Image.open(io.BytesIO(picture)).size for picture in (one_dataset, once)]
    assert sizes[1][0] == 2 * sizes[0][0]  # a panel per dataset


def test_a_long_legend_takes_nothing_from_the_plot(tmp_path: Path) -> None:
    """With the 22 curves of a whole table, panels were half as high, and the legend lay on them."""
    cells = [put(tmp_path, f"m{number}", "mslub", number) for number in range(22)]
    heights = []
    for some in (cells[:4], cells):
        picture = Image.open(io.BytesIO(curves_picture(some, tmp_path, STRICT, [NONE])))
        dark = np.asarray(picture.convert("L")) < 60
        heights.append(int(dark.sum(axis=0).max()))  # the axis of precision
    assert heights[1] >= 0.9 * heights[0]


def test_what_cannot_be_drawn_is_one_line(records: list[CellRecord], tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match="no finished cell of protocol paper"):
        curves_picture(records, tmp_path, PAPER, [NONE, STAR])
    for file in (tmp_path / "histograms").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(UadBenchError, match="cannot read the score histograms"):
        curves_picture(records, tmp_path, STRICT, [NONE, STAR])


def test_cells_of_another_version_of_the_protocol_are_not_drawn(
    records: list[CellRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = STRICT.version
    old = records[0].model_copy(update={"protocol_version": version - 1})
    write_cell(ResultsFolder(tmp_path), old)
    assert main(["curves", "--results", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"follow protocol strict, version {version - 1}, and" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.usefixtures("records")
def test_the_command_writes_into_the_results_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curves", "--results", str(tmp_path)]) == 0
    file = tmp_path / "curves.png"
    assert capsys.readouterr().out.strip() == str(file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert main(["curves", "--results", str(tmp_path), "--protocol", "strickt"]) == 2
    assert "Unknown protocol 'strickt'. Did you mean 'strict'?" in capsys.readouterr().err
