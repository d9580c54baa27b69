"""The page's pictures: slices, and training curves."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from PIL import Image

from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.figures.cells import MethodView, SliceView, png, results_picture

from .arms import BY_NAME, DETECTORS, Arm
from .records import SIMULATED, Study

SHOWN = ("thresholding", "vae", "gmvae", "spa", "dae", *(arm.name for arm in DETECTORS))
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")


def reconstructions(study: Study, dataset: str) -> bytes | None:
    """The example slices of a dataset, and what the methods make of them, side by side."""
    data = study.pictures("data")
    names = [key.removesuffix("/image") for key in data if key.endswith("/image")]
    kept = {arm: study.pictures(arm) for arm in SHOWN if study.has(arm)}
    views = [
        SliceView(
            f"{BERCEA_2022.title(dataset.removesuffix(SIMULATED))}\n{name.rpartition('/')[2]}",
            dataset.endswith(SIMULATED),
            data[f"{name}/image"],
            data[f"{name}/lesion"],
            tuple(
                MethodView(
                    BY_NAME[arm].label, of[f"{name}/score"], of.get(f"{name}/reconstruction")
                )
                for arm, of in kept.items()
                if f"{name}/score" in of
            ),
        )
        for name in names
        if name.rpartition("/")[0] == dataset
    ]
    return _small(results_picture(views)) if views else None


def curves(study: Study, arms: Iterable[Arm]) -> bytes:
    """Validation L1 over the slices seen: a line per seed."""
    figure = Figure(figsize=(7.2, 4.0), dpi=100, layout="constrained")
    axes = figure.subplots()
    for arm, colour in zip(arms, (*_COLOURS, *["#999999"] * 9), strict=False):
        for at, one in enumerate(study.records[arm.name].values()):
            steps, values = np.transpose(one.curves["validation_l1"])
            seen = steps * (one.slices_seen / one.steps)
            axes.plot(seen, values, color=colour, linewidth=1.3, label=None if at else arm.label)
    axes.set(xlabel="slices seen", ylabel="validation L1", yscale="log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(ScalarFormatter())
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return _small(png(figure))


def _small(picture: bytes) -> bytes:
    """A PNG in 256 colours, which takes a third of the room."""
    file = BytesIO()
    few = Image.open(BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(file, format="png", optimize=True)
    return file.getvalue()
