"""Pictures: the same bytes every time, what they show, and what they refuse."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from uad_bench.errors import UadBenchError
from uad_bench.report.figures import cells as figures
from uad_bench.report.figures.cells import (
    Image,
    MethodView,
    SliceView,
    cell_picture,
    lesion_picture,
    results_picture,
)


def arrays(size: int = 32) -> tuple[Image, Image, Image, Image]:
    """A disc with a bright lesion and ignored voxels: image, lesion, reconstruction, score."""
    y, x = np.indices((size, size))
    image = ((y - size / 2) ** 2 + (x - size / 2) ** 2 < (size / 3) ** 2) * 0.5
    lesion = np.zeros((size, size), np.uint8)
    lesion[12:15, 12:16] = 1
    lesion[18:20, 18:20] = 2
    image = np.where(lesion == 1, 0.9, image).astype(np.float32)
    reconstruction = np.minimum(image, 0.5)
    return image, lesion, reconstruction, image - reconstruction


def view(title: str, *, simulated: bool, rebuilt: bool = True) -> SliceView:
    image, lesion, reconstruction, score = arrays()
    methods = (
        MethodView("Thresh.", image),
        MethodView("SPA", score, reconstruction if rebuilt else None),
    )
    return SliceView(title, simulated, image, lesion, methods)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Collects the figures that are turned into bytes."""
    kept: list[Figure] = []
    original = figures.png

    def keep(figure: Figure) -> bytes:
        kept.append(figure)
        return original(figure)

    monkeypatch.setattr(figures, "png", keep)
    return kept


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def test_the_same_slice_gives_the_same_bytes_of_a_png() -> None:
    image, lesion, reconstruction, score = arrays()
    first, second = (
        cell_picture(image, lesion, reconstruction, score, title="SPA", simulated=False)
        for _ in range(2)
    )
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert b"tIME" not in first


@pytest.mark.filterwarnings("error")
def test_a_letter_that_no_font_has_is_written_as_its_code(drawn: list[Figure]) -> None:
    cell_picture(*arrays(), title="é 中", simulated=False)
    assert any("é [U+4E2D]" in text for text in words(drawn[0]))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: cell_picture(*arrays(), title="SPA", simulated=True, warnings=["odd"]),
        lambda: results_picture([view("one", simulated=True), view("two", simulated=False)]),
        lambda: lesion_picture(view("one", simulated=True), columns=2),
    ],
    ids=["cell", "results", "lesion"],
)
def test_a_picture_is_drawn_once_and_as_matplotlib_saves_it(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[[], bytes]
) -> None:
    def saved(figure: Figure) -> bytes:
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
        return file.getvalue()

    times, drawn_by = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda *given: times.append(1) or drawn_by(*given))
    ours = draw()
    assert len(times) == 1
    monkeypatch.setattr(figures, "png", saved)
    assert draw() == ours


def test_a_name_with_dollars_is_shown_as_it_is(drawn: list[Figure]) -> None:
    """A folder may be called so, and the picture was lost: it was read as a formula."""
    image, lesion, reconstruction, score = arrays()
    name = "sub_$x_y_z$"
    cell_picture(
        image, lesion, reconstruction, score, title=name, simulated=False, warnings=(name,)
    )
    one = SliceView(name, False, image, lesion, (MethodView(name, score, reconstruction),))
    results_picture([one])
    lesion_picture(one)
    for figure in drawn:
        assert any(name in text.get_text() for text in figure.findobj(Text))
        assert all("$" not in t.get_text() or not t.get_parse_math() for t in figure.findobj(Text))


@pytest.mark.parametrize("simulated", [True, False])
def test_a_picture_says_simulated_where_it_is_true(drawn: list[Figure], simulated: bool) -> None:
    image, lesion, reconstruction, score = arrays()
    cell_picture(image, lesion, reconstruction, score, title="SPA on WMH", simulated=simulated)
    results_picture([view("WMH", simulated=simulated)])
    lesion_picture(view("WMH", simulated=simulated))
    for figure in drawn:
        assert any("simulated" in text for text in words(figure)) == simulated


def test_the_reconstruction_has_a_panel_only_where_there_is_one(drawn: list[Figure]) -> None:
    image, lesion, reconstruction, score = arrays()
    cell_picture(image, lesion, reconstruction, score, title="SPA", simulated=False)
    cell_picture(image, lesion, None, score, title="Thresh.", simulated=False)
    assert "reconstruction" in words(drawn[0])
    assert "reconstruction" not in words(drawn[1])


def test_the_lesion_outline_is_drawn_around_the_lesion() -> None:
    image, lesion, _, score = arrays(64)
    with_lesion = cell_picture(image, lesion, None, score, title="x", simulated=False)
    without = cell_picture(image, 0 * lesion, None, score, title="x", simulated=False)
    difference = imread(io.BytesIO(with_lesion)) != imread(io.BytesIO(without))
    columns = np.flatnonzero(difference.any(axis=(0, 2))) / difference.shape[1]
    assert columns.size
    assert 0.3 < columns.min() < columns.max() < 0.67


def test_results_share_one_score_scale_per_method(drawn: list[Figure]) -> None:
    strong = view("BraTS", simulated=False)
    weak = SliceView(
        "WMH",
        True,
        strong.image,
        strong.lesion,
        tuple(MethodView(m.title, m.score / 4, m.reconstruction) for m in strong.methods),
    )
    results_picture([strong, weak])
    scales = {
        round(image.norm.vmax or 0, 3)
        for axes in drawn[0].axes
        for image in axes.images
        if image.get_cmap().name == "inferno"
    }
    assert scales == {0.9, 0.4}


def test_a_lesion_is_shown_through_every_method_row_after_row(drawn: list[Figure]) -> None:
    one = view("WMH", simulated=True)
    many = [MethodView(f"M{number}", one.methods[1].score * 0.1 * number) for number in range(1, 6)]
    lesion_picture(SliceView("WMH", True, one.image, one.lesion, tuple(many)), columns=3)
    shown = [axes for axes in drawn[0].axes if axes.images]
    assert [axes.get_title() for axes in shown][2:] == [method.title for method in many]
    heat = [axes.images[0] for axes in shown if axes.images[0].get_cmap().name == "inferno"]
    assert [round(image.norm.vmax or 0, 3) for image in heat] == [0.04, 0.08, 0.12, 0.16, 0.2]
    assert len({round(axes.get_position().y0, 6) for axes in shown}) == 3
    with pytest.raises(UadBenchError, match="at least one method"):
        lesion_picture(SliceView("WMH", True, one.image, one.lesion, ()))


def test_a_picture_of_nothing_but_background_is_still_a_picture() -> None:
    empty = np.zeros((16, 16), np.float32)
    assert cell_picture(empty, empty, empty, empty, title="x", simulated=True)


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ([], "at least one slice"),
        (
            [
                view("a", simulated=False),
                SliceView("b", False, *arrays()[:2], (MethodView("SPA", arrays()[0]),)),
            ],
            "picture of b: every slice needs the same methods",
        ),
        (
            [SliceView("c", False, arrays()[0], arrays(16)[1], ())],
            r"picture of c: arrays must share one shape \[H, W\], not \(16, 16\), \(32, 32\)",
        ),
    ],
)
def test_slices_that_do_not_go_together_are_refused(slices: list[SliceView], message: str) -> None:
    with pytest.raises(UadBenchError, match=message):
        results_picture(slices)


def test_pictures_need_no_global_state_and_no_display() -> None:
    code = (
        "import sys, uad_bench.report.figures.cells;"
        "sys.exit(sorted({'matplotlib.pyplot', 'torch', 'mlflow'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
