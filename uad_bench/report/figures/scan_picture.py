"""A picture of a registered scan, from which a person sees at a glance whether it lies well."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.read import LoadedScan
from uad_bench.volumes.steps.space import template_brain, template_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class _View:
    """One plane of the picture: right, up and through are axes of the world, in mm.

    Attributes:
        title: its name.
        normal: world axis (0 x, 1 y, 2 z) that the plane stands upright on.
        left: world coordinate at the left edge of the panel and at its right edge, on ``across``.
        across: world axis from left to right.
        up: world axis from bottom to top.
        low: world coordinate of the bottom.
        high: world coordinate of the top.
        marks: letters at the left, right, top and bottom edge.
    """

    title: str
    normal: int
    across: int
    left: float
    right: float
    up: int
    low: float
    high: float
    marks: tuple[str, str, str, str]


_VIEWS = (
    _View("axial", 2, 0, 90.0, -90.0, 1, -117.0, 83.0, ("R", "L", "A", "P")),
    _View("coronal", 1, 0, 90.0, -90.0, 2, -95.0, 105.0, ("R", "L", "S", "I")),
    _View("sagittal", 0, 1, 83.0, -117.0, 2, -95.0, 105.0, ("A", "P", "S", "I")),
)
"""The patient's right is on the left of the picture, as radiologists look at it. The boxes hold the
template's brain and some room for one that lies beside it; all are 200 mm high."""

_STEP_MM = 0.75
_TEMPLATE, _LESION, _GROUND, _INK = "#35c4d7", "#ffa02e", "#000000", "#aab2bf"
_WIDTH, _HEIGHT, _DPI = 900, 352, 100
_PIXELS_PER_MM = 1.5
_TOP, _GAP = 28, 15
_GREYS, _TINTS = 128, 24
_CAPTION = "patient's right on the left (radiological)"


def scan_picture(loaded: LoadedScan, title: str) -> bytes:
    """Draw a registered scan in three planes of MNI152 space.

    Every plane goes where it cuts the most lesion, and without a lesion through the middle of the
    brain. What lies outside the scan's brain mask is dimmed; the template's brain is outlined, and
    the lesion. A scan that was registered well fills the template's outline.

    Args:
        loaded: the scan, with its affine to MNI152.
        title: what it is.

    Returns:
        A PNG file's bytes, 900 x 352 pixels.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    place = _place(loaded)
    inside = loaded.image[loaded.brain]
    low, high = (float(value) for value in np.percentile(inside, (1.0, 99.7)))
    size = (_WIDTH / _DPI, _HEIGHT / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, facecolor=_GROUND)
    at = float(_GAP)
    for view in _VIEWS:
        wide = abs(view.right - view.left) * _PIXELS_PER_MM
        tall = (view.high - view.low) * _PIXELS_PER_MM
        bottom = _HEIGHT - _TOP - tall
        box = (at / _WIDTH, bottom / _HEIGHT, wide / _WIDTH, tall / _HEIGHT)
        _draw(figure.add_axes(box), loaded, view, place, (low, max(high, low + 1e-6)))
        at += wide + _GAP
    text: dict[str, Any] = {"color": _INK, "fontsize": 8, "va": "center"}
    heading = {**text, "fontsize": 10, "color": "white", "parse_math": False}
    figure.text(0.017, 0.957, title, **heading)
    figure.text(0.017, 0.035, _CAPTION, **text)
    lines = [Line2D([], [], color=_TEMPLATE, lw=1.2, label="template's brain")]
    if loaded.lesion is not None:
        lines.append(Line2D([], [], color=_LESION, lw=1.2, label="lesion"))
    figure.legend(
        handles=lines,
        loc="center right",
        bbox_to_anchor=(0.983, 0.035),
        ncols=2,
        frameon=False,
        labelcolor=_INK,
        fontsize=8,
        handlelength=1.4,
        borderpad=0,
    )
    return _small_png(figure)


def _place(loaded: LoadedScan) -> tuple[float, float, float]:
    """Where to cut, in mm: the plane with the most lesion, else the middle of the brain."""
    shown = loaded.brain if loaded.lesion is None else loaded.lesion == 1
    if not shown.any():
        shown = loaded.brain
    points = np.argwhere(shown) @ loaded.affine[:3, :3].T + loaded.affine[:3, 3]
    if shown is loaded.brain:
        x, y, z = points.mean(axis=0)
        return float(x), float(y), float(z)
    cuts = []
    for axis in range(3):
        low = float(points[:, axis].min())
        counts = np.bincount(np.rint(points[:, axis] - low).astype(np.int64))
        smooth = gaussian_filter(counts.astype(np.float64), 2.0, mode="constant")
        cuts.append(low + int(smooth.argmax()))
    return cuts[0], cuts[1], cuts[2]


def _draw(
    axes: Axes,
    loaded: LoadedScan,
    view: _View,
    place: tuple[float, float, float],
    window: tuple[float, float],
) -> None:
    """Draw one plane."""
    across = np.arange(view.left, view.right, np.copysign(_STEP_MM, view.right - view.left))
    up = np.arange(view.high, view.low, -_STEP_MM)
    world = np.empty((3, len(up), len(across)))
    world[view.normal] = place[view.normal]
    world[view.across] = across[None, :]
    world[view.up] = up[:, None]
    image = ((_sample(loaded.image, loaded.affine, world) - window[0]) / np.ptp(window)).clip(0, 1)
    image *= 0.3 + 0.7 * _sample(loaded.brain, loaded.affine, world)
    axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="bilinear", aspect="auto")
    grid = template_grid(_RECIPE)
    template = gaussian_filter(_sample(template_brain(_RECIPE), grid.affine, world), 1.5)
    _outline(axes, template, _TEMPLATE, 0.9)
    if loaded.lesion is not None:
        _outline(axes, _sample(loaded.lesion == 1, loaded.affine, world), _LESION, 1.1)
    axes.set_axis_off()
    style: dict[str, Any] = {"color": _INK, "fontsize": 8, "transform": axes.transAxes}
    left, right, top, bottom = view.marks
    axes.text(0.02, 0.5, left, ha="left", va="center", **style)
    axes.text(0.98, 0.5, right, ha="right", va="center", **style)
    axes.text(0.5, 0.985, top, ha="center", va="top", **style)
    axes.text(0.5, 0.015, bottom, ha="center", va="bottom", **style)
    where = f"{view.title}  {'xyz'[view.normal]} = {place[view.normal]:.0f} mm"
    axes.text(0.02, 0.985, where, ha="left", va="top", **style)


_RECIPE = Recipe()
"""Only its template's brain is drawn, whatever recipe the scan is prepared with."""


def _sample(
    source: NDArray[Any], affine: NDArray[np.float64], world: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return ``source`` at world points ``[3, H, W]``, linearly, 0 outside: ``[H, W]``."""
    to_voxel = np.linalg.inv(affine)
    voxels = np.tensordot(to_voxel[:3, :3], world, 1) + to_voxel[:3, 3, None, None]
    values = source.astype(np.uint8) if source.dtype == np.bool_ else source
    sampled = map_coordinates(values, voxels, output=np.float32, order=1, cval=0.0)
    return np.asarray(sampled, dtype=np.float32)


def _outline(axes: Axes, share: NDArray[np.float32], colour: str, width: float) -> None:
    if share.max() > 0.5:
        axes.contour(share, levels=[0.5], colors=[colour], linewidths=width)


def _small_png(figure: Figure) -> bytes:
    """The figure as PNG in a palette of greys and the two lines' colours: a third of the bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    greys = np.linspace(0.0, 1.0, _GREYS)[:, None].repeat(3, axis=1)
    faint = np.linspace(0.2, 1.0, _TINTS)[:, None]
    tints = [faint * to_rgb(colour) for colour in (_TEMPLATE, _LESION)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(255.0 * np.concatenate([greys, *tints])).astype(np.uint8).tobytes())
    picture = Image.fromarray(pixels).convert("RGB")
    file = io.BytesIO()
    few = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(file, format="PNG", optimize=True)
    return file.getvalue()
