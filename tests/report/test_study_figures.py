"""Figures of a tuning study: what is written is on them."""

from __future__ import annotations

import pytest

from uad_bench.report.plots.study import study_figures
from uad_bench.report.plots.style import styled
from uad_bench.study_record import Searched, StudyMetric, StudyRecord, Trial

ONE = (StudyMetric(name="AUPRC of painted lesions", higher_is_better=True),)
TWO = (StudyMetric(name="1 - SSIM"), StudyMetric(name="kl"))


def study(metrics: tuple[StudyMetric, ...]) -> StudyRecord:
    """A study of three trials."""
    points = [{"beta": 1e-3, "snr": 16.0}, {"beta": 1e-5, "snr": 16.0}, {"beta": 1e-4, "snr": 4.0}]
    trials = tuple(
        Trial(
            number=number,
            params=point,
            metrics={one.name: 0.0123 * (number + place) for place, one in enumerate(metrics)},
        )
        for number, point in enumerate(points, start=1)
    )
    return StudyRecord(
        name="spa-1",
        method="spa",
        title="SPA",
        objective="painted",
        metrics=metrics,
        sampler="tpe",
        seed=0,
        space={
            "beta": Searched(low=1e-5, high=1e-2, log=True),
            "snr": Searched(low=4, high=64, log=True),
        },
        default=points[1],
        trials=trials,
        front=(1, 2),
        chosen=2,
        reason="the defaults",
        importances={one.name: {"beta": 0.7, "snr": 0.3} for one in metrics},
        simulated=True,
    )


@pytest.mark.parametrize("metrics", [ONE, TWO], ids=["one", "two"])
def test_no_label_is_cut_off_at_the_edge(metrics: tuple[StudyMetric, ...]) -> None:
    """The label of the history's axis was longer than the figure is high."""
    with styled():
        for found in study_figures(study(metrics)):
            found.figure.draw_without_rendering()
            whole = found.figure.bbox
            for axes in found.figure.axes:
                for label in (axes.xaxis.label, axes.yaxis.label):
                    if not label.get_text():
                        continue
                    box = label.get_window_extent()
                    assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, (found.title, label)
                    assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, (found.title, label)
