"""The page's pictures: slices, latent tissue maps, and training curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from textwrap import fill

import numpy as np
from detectors import detectors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray
from pack import PackedScan
from PIL import Image
from records import Study
from tables import compared

from uad_bench.method import TISSUES
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.figures.cells import png as full_colour

SHOWN = (
    *("thresholding", "control-mean", "vae", "gmvae"),
    *("spa", "spa-perceptual-softmax", "spa-beta-0", "dae"),
)
"""Arms in the pictures, before the new detectors."""

MAPPED = {"spa": "SPA", "spa-perceptual-softmax": "softmax"}
"""Arms whose latent maps are drawn, and what they are called above them."""

_LESION = "#E69F00"
_FOUND = "#56B4E9"
_DPI = 100
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """The slice of a scan that shows the most lesion.

    Attributes:
        key: of the arms' pictures.
        title: dataset and patient.
        image: ``[H, W]`` in [0, 1].
        brain: bool ``[H, W]``.
        lesion: bool ``[H, W]``.
        z: atlas index.
    """

    key: str
    title: str
    image: NDArray[np.float64]
    brain: NDArray[np.bool_]
    lesion: NDArray[np.bool_]
    z: int


def examples(study: Study, dataset: str, count: int = 2) -> tuple[Example, ...]:
    """The example slices of a dataset, those that ``measure`` keeps pictures of."""
    return tuple(
        _example(study, dataset, scan) for scan in study.pack.datasets[dataset].scans[:count]
    )


def _example(study: Study, dataset: str, scan: PackedScan) -> Example:
    packed = study.pack.datasets[dataset]
    lesion = packed.lesion[scan.start : scan.stop] == 1
    row = scan.start + int(lesion.sum(axis=(1, 2)).argmax())
    title = f"{BERCEA_2022.title(dataset)}\n{scan.subject.removeprefix('Brats18_')}"
    return Example(
        f"{dataset}/{scan.name}",
        title,
        packed.image[row] / 65535.0,
        packed.brain[row],
        packed.lesion[row] == 1,
        int(packed.z[row]),
    )


def reconstructions(study: Study, dataset: str) -> bytes:
    """Reconstruction above residual, arms side by side, for the examples of a dataset."""
    new = tuple(arm.name for arm in detectors(study))
    labels = {arm.name: arm.label for arm in study.arms}
    kept = {name: study.pictures(name) for name in (*SHOWN, *new) if study.has(name)}
    shown = examples(study, dataset)
    scores = {f"{one.key}/score" for one in shown}
    pictures = {name: of for name, of in kept.items() if scores <= set(of)}
    box = _box([one.brain for one in shown])
    figure, axes = _grid(2 * len(shown), 1 + len(pictures), box)
    for at, one in enumerate(shown):
        upper, lower = axes[2 * at], axes[2 * at + 1]
        _grey(upper[0], one.image[box])
        _grey(lower[0], one.image[box])
        _outline(lower[0], one.lesion[box], _LESION)
        upper[0].set_ylabel(one.title, fontsize=8)
        if at == 0:
            upper[0].set_title("image", fontsize=9)
        for column, (arm, of) in enumerate(pictures.items(), start=1):
            if at == 0:
                upper[column].set_title(fill(labels[arm], 15), fontsize=9)
            rebuilt, score = of.get(f"{one.key}/reconstruction"), of[f"{one.key}/score"]
            if rebuilt is None:
                _blank(upper[column], "none")
            else:
                _grey(upper[column], rebuilt[box])
            top = float(score.max())
            lower[column].imshow(score[box], cmap="inferno", vmin=0.0, vmax=top or 1.0)
            _outline(lower[column], score[box] >= _threshold(study, arm, dataset), _FOUND)
            lower[column].set_xlabel(f"0 to {top:.2f}", fontsize=7, labelpad=1)
    return png(figure)


def _threshold(study: Study, arm: str, dataset: str) -> float:
    """The score at 1 % false positives on validation, of the seed whose picture is shown."""
    done = study.results[arm]
    return done[min(done)].datasets[dataset].posts["star"].thresholds["fpr1"]


def tissue_maps(study: Study, datasets: Sequence[str]) -> bytes | None:
    """SPA's latent maps of the examples beside the prior's, ``None`` where no SPA kept any."""
    kept = {name: study.pictures(name) for name in MAPPED if study.has(name)}
    shown = [one for dataset in datasets for one in examples(study, dataset, 1)]
    maps = {f"{one.key}/tissues" for one in shown}
    sides = {MAPPED[name]: of for name, of in kept.items() if maps <= set(of)}
    if not shown or not sides:
        return None
    box = _box([one.brain for one in shown])
    titles = [f"{side}\n{tissue}" for side in (*sides, "prior") for tissue in TISSUES]
    figure, axes = _grid(len(shown), 1 + len(titles), box, panel=0.9)
    for one, line in zip(shown, axes, strict=True):
        _grey(line[0], one.image[box])
        _outline(line[0], one.lesion[box], _LESION)
        line[0].set_ylabel(one.title, fontsize=8)
        own = [of[f"{one.key}/tissues"] for of in sides.values()]
        drawn = np.concatenate([*own, study.pack.prior.mean[:, one.z]])
        for place, of in zip(line[1:], drawn, strict=True):
            place.imshow(of[box], cmap="viridis", vmin=0.0, vmax=1.0)
    for place, title in zip(axes[0], ["image", *titles], strict=True):
        place.set_title(title, fontsize=9)
    return png(figure)


def curves(study: Study) -> bytes | None:
    """Validation L1 over the slices seen: a line per seed, ``None`` if nothing was trained."""
    figure = Figure(figsize=(7.2, 4.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    colours = iter(_COLOURS)
    for arm in compared(study):
        runs = [
            one
            for one in study.results.get(arm.name, {}).values()
            if one.curves.get("validation_l1")
        ]
        if not runs:
            continue
        colour = next(colours, "#999999")
        for at, one in enumerate(runs):
            steps, values = zip(*one.curves["validation_l1"], strict=True)
            per_step = one.slices_seen / one.steps
            axes.plot(
                [step * per_step for step in steps],
                values,
                color=colour,
                linewidth=1.3,
                label=arm.label if at == 0 else None,
            )
    if not axes.lines:
        return None
    axes.set_xlabel("slices seen")
    axes.set_ylabel("validation L1")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(ScalarFormatter())
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def png(figure: Figure) -> bytes:
    """A figure as PNG of 256 colours, which takes a third of the room."""
    file = BytesIO()
    picture = Image.open(BytesIO(full_colour(figure))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return file.getvalue()


def _grid(
    rows: int, columns: int, box: tuple[slice, slice], panel: float = 1.05
) -> tuple[Figure, NDArray[np.object_]]:
    """Panels of equal size in ``rows``; ``panel`` is their width in inches."""
    high, wide = (one.stop - one.start for one in box)
    tall, left, top, gap, bottom = panel * high / wide, 0.42, 0.42, 0.14, 0.16
    width = left + columns * (panel + 0.04)
    height = top + rows * (tall + gap) + bottom
    figure = Figure(figsize=(width, height), dpi=_DPI)
    axes = np.empty((rows, columns), dtype=np.object_)
    for row, column in np.ndindex(rows, columns):
        x, y = left + column * (panel + 0.04), height - top - row * (tall + gap) - tall
        one = figure.add_axes((x / width, y / height, panel / width, tall / height))
        one.set_xticks([])
        one.set_yticks([])
        one.spines[:].set_visible(False)
        axes[row, column] = one
    return figure, axes


def _box(brains: Sequence[NDArray[np.bool_]]) -> tuple[slice, slice]:
    """The smallest rectangle with a margin of two pixels that holds every brain."""
    shadow = np.any(brains, axis=0)
    ends = []
    for axis in (1, 0):
        used = np.flatnonzero(shadow.any(axis=axis))
        ends.append(slice(max(0, int(used[0]) - 2), int(used[-1]) + 3))
    return ends[0], ends[1]


def _grey(axes: Axes, image: NDArray[np.float64] | NDArray[np.float32]) -> None:
    axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0)


def _blank(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, transform=axes.transAxes)


def _outline(axes: Axes, mask: NDArray[np.bool_], colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.8)
