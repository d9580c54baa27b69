"""The leaderboard's page: ranks, tables, what was learned from masks, and what it all took."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import uad_bench as ub
from studies.submissions import Submission, sections
from uad_bench.cells import CellRecord
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.tables.arrange import training_title

from .runs import OTHER_PEOPLE, WITH_HEALTHY, Size

_METRICS = ("auprc", "dice", "max_dice", "lesion_f1", "patient_auroc", "hd95")
_CARDS = Path("docs/reference/costs.json")


@dataclass(frozen=True, slots=True)
class Command:
    """What repeats the page.

    Attributes:
        size: how large it is.
        data_root: the real datasets.
        datasets: which of them are tested on, with commas.
        supervised_on: which of them supervised methods learn from, likewise.
    """

    size: Size
    data_root: Path | None = None
    datasets: str = "all"
    supervised_on: str = ""

    def __str__(self) -> str:
        size = self.size
        flags = {
            "slices": str(size.slices),
            "phantoms": str(size.phantoms),
            "seeds": ",".join(map(str, size.seeds)),
            "once": ",".join(size.once),
            "methods": ",".join(size.methods),
            "recipe": size.recipe.removeprefix("median"),
        }
        if self.data_root is not None:
            flags["data-root"] = "DIR"
            flags["datasets"] = self._without_root(self.datasets)
            flags["supervised-on"] = self._without_root(self.supervised_on)
        given = [f"--{name} {value}" for name, value in flags.items() if value]
        given += [f"--param {key}={value}" for key, value in size.param.items()]
        return f"python -m studies.leaderboard --results RESULTS {' '.join(given)}"

    def _without_root(self, names: str) -> str:
        """Name no folder of this machine."""
        return names if self.data_root is None else names.replace(str(self.data_root), "DIR")


def page(
    found: Sequence[ub.Results], command: Command, submitted: Sequence[Submission], picture: str
) -> str:
    """Return the page in Markdown: simulated and real people apart.

    Args:
        found: the results, the simulated people's first.
        command: what repeats it.
        submitted: results of others, which stay apart.
        picture: the file of the picture, as the page names it.
    """
    size = command.size
    parts = [
        "# Leaderboard",
        "Every built-in method that needs no file of yours, untuned, with its default parameters "
        "but for what the command says and the length of its training: each network saw "
        f"{size.slices} slices of simulated healthy people. Adversarial networks saw more, because "
        "their critics learn several times a step. Few people and short trainings rank nothing for "
        "good: read the intervals. A control is no detector: a method below it has not been shown "
        "to work. Supervised methods, which learn from lesion masks, are apart and have no rank.",
        f"Repeat it with `{command}`.",
    ]
    if size.once:
        named = ", ".join(f"`{name}`" for name in size.once)
        parts.append(f"With one seed alone, for the time that scoring takes: {named}.")
    devices = ", ".join(dict.fromkeys(c.environment.device for one in found for c in one.cells))
    parts.append(f"Trained and scored on: {devices}.")
    for results in found:
        parts += _standings(results, size)
    parts += sections(submitted, [one for results in found for one in results.cells], _METRICS)
    parts.append("Add yours: [submit results](how-to/submit-results.md).")
    parts += ["## What it took", _costs(found[0].cells)]
    parts += ["## One lesion through every method", f"![one lesion]({picture})"]
    return "\n\n".join(parts) + "\n"


def _standings(results: ub.Results, size: Size) -> list[str]:
    """Ranks and tables of one group of people, simulated or real."""
    frame = results.to_frame()
    frame = frame[(frame.state == "done") & frame.metric.isin(_METRICS)]
    real = any(cell.data is not None and not cell.data.simulated for cell in results.cells)
    people = "Real patients" if real else "Simulated people"
    ranked = frame[frame.group != "supervised"]
    values = ranked.pivot_table("value", ["method", "title"], ["metric", "dataset"])
    better = ranked.groupby("metric").better.first()
    ranks = values.T.groupby("metric", group_keys=False).apply(
        lambda part: part.rank(axis=1, ascending=better[part.index[0][0]] == "lower")
    )
    mean = ranks.groupby("metric").mean().T
    order = [metric for metric in _METRICS if metric in mean]
    mean = mean[order].sort_values(order[0])
    controls = {cell.spec.method for cell in results.cells if cell.control}
    rows = [
        [f"*{title}*†" if name in controls else title, *(f"{rank:.1f}" for rank in row)]
        for (name, title), row in zip(mean.index, mean.to_numpy(), strict=True)
    ]
    parts = [
        f"## {people}",
        *_supervised(results.cells),
        _detection(order, size, real=real),
        f"### {people}: mean rank over the datasets, 1 is best",
        _table(["method", *order], rows),
        "† Control.",
        *_below_chance(dict(mean[order[0]]), controls),
    ]
    for number, metric in enumerate(order):
        known = frame[(frame.metric == metric) & frame.value.notna()].dataset.unique()
        table = results.table(metric, intervals=True, rows="methods", datasets=list(known))
        text = table.markdown()
        caption, title, body = (part.strip() for part in text.split("**", 2))
        parts += [f"### {people}: {title}", *([caption] if not number else []), body]
    failed = {f"- `{one.spec.method}`: {one.reason}": None for one in results.failed}
    return parts + (["### Failed", "\n".join(failed)] if failed else [])


def _supervised(cells: Sequence[CellRecord]) -> Iterator[str]:
    """Say what each supervised method learned from, where there is one."""
    taught = {
        (cell.method_title, training_title(cell.training, BERCEA_2022)): cell.training
        for cell in cells
        if cell.supervised and cell.training is not None
    }
    for (title, who), training in taught.items():
        people = "1 subject" if training.subjects == 1 else f"{training.subjects} subjects"
        yield (
            f"{title}‡ learned from {people} of {who} with their lesion masks, and its state was "
            "chosen by others of them. It is tested on every dataset; of that one, on the rest "
            "alone. It saw what the other methods have to find, so it is apart in every table and "
            "has no rank."
        )
    if not taught:
        yield "No method learned from lesion masks of these people."


def _detection(shown: Collection[str], size: Size, *, real: bool) -> str:
    """Say which dataset has healthy people, without whom patients cannot be told from them."""
    if "patient_auroc" not in shown:
        return (
            "No dataset here has healthy people of its own, so the detection of patients is not "
            "measured. Healthy people of another dataset would be told apart by their scanner."
        )
    if real:
        return "`patient_auroc` is of the datasets that have healthy people beside their patients."
    name, people = WITH_HEALTHY, size.patients
    command = f"--datasets {name} --subjects {people} --healthy {people} --seed {OTHER_PEOPLE}"
    return (
        f"One dataset has {people} healthy people beside as many patients of {name.upper()}, of "
        "the same ages and from the same scanner. `patient_auroc` says how well they are told "
        f"apart. `uad-bench phantom OUT {command}` makes the same people."
    )


def _below_chance(ranks: dict[tuple[str, str], float], controls: Collection[str]) -> list[str]:
    """Name the methods that random scores are ranked above, where these take part."""
    chance = [rank for (name, _), rank in ranks.items() if name == "control-random"]
    worse = [
        title
        for (name, title), rank in ranks.items()
        if chance and rank > chance[0] and name not in controls
    ]
    if not worse:
        return []
    named = ", ".join(worse)
    return [f"Random scores are ranked above {named}, by AUPRC: too short a training, or a fault."]


def _costs(cells: Sequence[CellRecord]) -> str:
    """What each method took here, and what its card says of memory."""
    cards = json.loads(_CARDS.read_text(encoding="utf-8"))["methods"]
    rows = []
    for method in dict.fromkeys(cell.spec.method for cell in cells):
        own = [cell for cell in cells if cell.spec.method == method]
        fits = {cell.fit.detector: cell.fit for cell in own if cell.fit is not None}
        if not fits:
            continue
        some = next(iter(fits.values()))
        weights = [note.split()[0] for note in some.notes if note.endswith(" weights")]
        scans = [cell.environment.wall_s / cell.data.scans for cell in own if cell.data is not None]
        rows.append(
            [
                f"`{method}`",
                f"{fmean(fit.wall_s for fit in fits.values()):.0f}",
                f"{fmean(fit.slices_seen for fit in fits.values()):.0f}",
                " + ".join(weights),
                f"{fmean(scans):.2g}" if scans else "",
                str(cards.get(method, {}).get("memory_mb", "")),
            ]
        )
    head = ["method", "training, s", "slices seen", "weights", "a scan, s", "memory, MB"]
    return (
        "Training was timed here, and so was a scan from its slices to its metrics, beside "
        "whatever else ran: means over seeds and datasets. What a scan takes without the method "
        "is in the rows of the controls. Memory is that of the [cards](reference/cards.md), of "
        "slices of 128 x 112 pixels.\n\n" + _table(head, rows)
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
