"""The page of the tuning studies of a results folder: what was chosen, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uad_bench import __version__
from uad_bench.report.page.chart import Chart
from uad_bench.report.page.facts import FactTable
from uad_bench.report.page.template import rendered
from uad_bench.study_record import StudyRecord, Trial, values


@dataclass(frozen=True, slots=True)
class _Shown:
    """A study as the template writes it."""

    study: StudyRecord
    chosen: str
    compared: FactTable
    charts: tuple[Chart, ...]
    trials: FactTable


def tuning_page(studies: Sequence[StudyRecord], title: str) -> str:
    """Write the page.

    Args:
        studies: one or several.
        title: of the results folder.
    """
    return rendered(
        "tuning.html.j2",
        title=title,
        simulated=all(study.simulated for study in studies),
        shown=[_shown(study) for study in studies],
        version=__version__,
    )


def _shown(study: StudyRecord) -> _Shown:
    numbers = {"chosen": study.chosen, "published or first": 1}
    if known := [trial.number for trial in study.trials if trial.params == study.default]:
        numbers["defaults"] = known[0]
    for metric in study.metrics:
        best = min(study.finished, key=lambda trial: metric.cost(trial.metrics))
        numbers[f"best {metric.name}"] = best.number
    columns = (*study.space, *(metric.name for metric in study.metrics))
    rows = [(name, *_row(study, study.trials[at - 1])) for name, at in numbers.items()]
    return _Shown(
        study,
        values(study.params),
        FactTable("What was compared", ("", "trial", *columns), tuple(rows)),
        _charts(study),
        FactTable(
            "All trials",
            ("Trial", *columns, "", ""),
            tuple((*_row(study, trial), *_remarks(study, trial)) for trial in study.trials),
            "Stopped trials show the metrics of their last check.",
        ),
    )


def _row(study: StudyRecord, trial: Trial) -> tuple[str, ...]:
    numbers = [trial.params.get(name) for name in study.space]
    numbers += [trial.metrics.get(metric.name) for metric in study.metrics]
    return str(trial.number), *("" if one is None else f"{one:.6g}" for one in numbers)


def _remarks(study: StudyRecord, trial: Trial) -> tuple[str, str]:
    """How a trial ended, and whether it is on the front or chosen."""
    marks = ["Pareto front"] if trial.number in study.front and len(study.metrics) > 1 else []
    marks += ["chosen"] if trial.number == study.chosen else []
    return trial.state, ", ".join(marks)


def _charts(study: StudyRecord) -> tuple[Chart, ...]:
    from uad_bench.report.plots.study import study_figures
    from uad_bench.report.plots.style import encoded, styled

    with styled():
        return tuple(
            Chart(
                one.title,
                f"{one.title}. The numbers are in the tables.",
                encoded(one.figure, "svg"),
            )
            for one in study_figures(study)
        )
