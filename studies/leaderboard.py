"""The leaderboard: every method on every dataset under one protocol, and one lesion through all.

    python -m studies.leaderboard --results RESULTS [--data-root DIR] [--slices N] [--seeds 0,1,2]

Simulated people come first; with a data root, the same detectors are then tested on the patients
there. ``--slices`` is the size: what each network sees in training, so that all have the same
budget; a recipe with larger pixels makes everything faster, and so does ``--once`` with the methods
that score slowest. Finished cells are kept, so that the same command goes on where it was stopped.
It writes leaderboard.md and its picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np

import uad_bench as ub
from studies.submissions import FOLDER, Submission, read_submissions, sections
from uad_bench.errors import UadBenchError
from uad_bench.method import Method, member_field, members_of
from uad_bench.plugins.registry import Registry, open_registry
from uad_bench.report.figures.cells import MethodView, SliceView, lesion_picture

_DOCS = Path("docs")
_METRICS = ("auprc", "dice", "max_dice", "lesion_f1", "patient_auroc", "hd95")
_SHOWN = "wmh"
"""The dataset whose patient with the most lesion is shown."""

_POSTPROCESSING = "star"
_PICTURE = "leaderboard-lesion.png"


def main() -> None:
    """Run what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m studies.leaderboard", description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--data-root", type=Path, help="real patients, tested after the simulated")
    parser.add_argument("--methods", help="default: every method that needs no file of yours")
    parser.add_argument("--slices", type=int, default=2400, help="default: 2400")
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--once", default="", help="methods with the first seed alone")
    parser.add_argument("--phantoms", type=int, default=5, help="default: 5")
    parser.add_argument("--recipe", default="median", help="default: median")
    parser.add_argument("--param", action="append", default=[], metavar="METHOD.NAME=VALUE")
    parser.add_argument("--docs", type=Path, default=_DOCS, help="default: docs")
    options = parser.parse_args()
    registry = open_registry(None)
    names = options.methods.split(",") if options.methods else every_method(registry)
    once = options.once.split(",") if options.once else []
    names = [name for name in names if name not in once]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    changed = dict(one.split("=", 1) for one in options.param)
    late = {key: value for key, value in changed.items() if key.split(".")[0] in once}
    early = {key: value for key, value in changed.items() if key not in late}
    slices = options.slices
    runs: list[dict[str, Any]] = [
        {"methods": names, "seeds": seeds, "param": budgets(registry, names, slices) | early},
        {"methods": once, "seeds": seeds[:1], "param": budgets(registry, once, slices) | late},
    ]
    runs[1]["controls"] = ()  # they are beside the first
    data: dict[str, Any] = {"phantoms": options.phantoms, "recipe": options.recipe}
    parts = {"simulated": data}
    if options.data_root is not None:
        parts["real"] = data | {"data_root": options.data_root}
    found: list[ub.Results] = []
    for part, given in parts.items():
        folder = options.results / part
        if found:  # both learn from the same simulated people
            learned = options.results / "simulated" / "detectors"
            copytree(learned, folder / "detectors", copy_function=_link, dirs_exist_ok=True)
        for one in runs:
            if one["methods"]:
                ub.run(
                    datasets="all",
                    results=folder,
                    tune=False,
                    postprocessing=_POSTPROCESSING,
                    mlflow=False,
                    **one,
                    **given,
                )
        found.append(ub.load_results(folder))
    (options.docs / "images" / _PICTURE).write_bytes(lesion_picture(view(found[0], data)))
    size = f"--slices {options.slices} --phantoms {options.phantoms} --seeds {options.seeds}"
    size += f" --once {options.once}" if once else ""
    size += "".join(f" --param {one}" for one in options.param)
    if options.recipe != "median":
        size += f" --recipe {options.recipe}"
    if options.data_root is not None:
        size += " --data-root DIR"
    submitted = read_submissions(FOLDER)
    (options.docs / "leaderboard.md").write_text(
        page(found, options.slices, size, submitted, once), encoding="utf-8"
    )


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    Path(target).hardlink_to(source)


def every_method(registry: Registry) -> list[str]:
    """Return the methods that learn without labels and need no file of the user's."""
    found = []
    for name in registry.names("method"):
        method = registry.method(name)
        try:
            method.resolve(method.Params())
        except UadBenchError:
            continue
        if not (method.info.control or method.info.supervised):
            found.append(name)
    return found


def budgets(registry: Registry, names: list[str], slices: int) -> dict[str, int]:
    """Return the steps in which each method, or each member of an ensemble, sees so many slices."""
    found: dict[str, int] = {}
    for name in names:
        method = registry.method(name)
        parts = {member_field(one): one for one in members_of(method)}
        for one in (*parts.values(), *(() if parts else (method,))):
            if steps := _steps(one, slices):
                found[f"{one.info.name}.steps"] = steps
    return found


def _steps(method: type[Method], slices: int) -> int:
    params = method.Params()
    return -(-slices // getattr(params, "batch_size", slices)) if hasattr(params, "steps") else 0


def page(
    found: Sequence[ub.Results],
    slices: int,
    size: str,
    submitted: Sequence[Submission],
    once: Sequence[str] = (),
) -> str:
    """Return the page in Markdown: simulated and real people apart.

    Args:
        found: the results, the simulated people's first.
        slices: what each network saw in training.
        size: the flags that repeat it.
        submitted: results of others, which stay apart.
        once: methods with one seed alone.
    """
    parts = [
        "# Leaderboard",
        "Every built-in method that needs no file of yours, untuned, with its default parameters "
        f"but for what the command says and the length of its training: each network saw {slices} "
        "slices of simulated healthy people. Adversarial networks saw more, because their critics "
        "learn several times a step. Few people and short trainings rank nothing for good: read "
        "the intervals. A control is no detector: a method below it has not been shown to work. "
        "Supervised methods, which learn from lesion masks of people like those that are tested, "
        "are left out.",
        f"Repeat it with `python -m studies.leaderboard --results RESULTS {size}`.",
    ]
    if once:
        named = ", ".join(f"`{name}`" for name in once)
        parts.append(f"With one seed alone, for the time that scoring takes: {named}.")
    for results in found:
        parts += _standings(results)
    parts += sections(submitted, [one for results in found for one in results.cells], _METRICS)
    parts.append("Add yours: [submit results](how-to/submit-results.md).")
    parts += ["## What it took", _costs(found[0])]
    parts += ["## One lesion through every method", f"![one lesion](images/{_PICTURE})"]
    return "\n\n".join(parts) + "\n"


def _standings(results: ub.Results) -> list[str]:
    """Ranks and tables of one group of people, simulated or real."""
    frame = results.to_frame()
    frame = frame[(frame.state == "done") & frame.metric.isin(_METRICS)]
    real = any(cell.data is not None and not cell.data.simulated for cell in results.cells)
    people = "Real patients" if real else "Simulated people"
    values = frame.pivot_table("value", ["method", "title"], ["metric", "dataset"])
    better = frame.groupby("metric").better.first()
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
        f"### {people}: mean rank over the datasets, 1 is best",
        _table(["method", *order], rows),
        "† Control.",
        *_below_chance(dict(mean[order[0]]), controls),
    ]
    if "patient_auroc" not in order:
        parts.append("No dataset here has healthy people to tell patients from.")
    for number, metric in enumerate(order):
        text = results.table(metric, intervals=True).markdown()
        caption, title, table = (part.strip() for part in text.split("**", 2))
        parts += [f"### {people}: {title}", *([caption] if not number else []), table]
    failed = {f"- `{one.spec.method}`: {one.reason}": None for one in results.failed}
    return parts + (["### Failed", "\n".join(failed)] if failed else [])


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


def _costs(results: ub.Results) -> str:
    """What each method took here, and what its card says of scoring."""
    cards = json.loads((_DOCS / "reference" / "costs.json").read_text(encoding="utf-8"))["methods"]
    rows = {}
    for cell in results.cells:
        if cell.fit is not None and cell.data is not None:
            card = cards.get(cell.spec.method, {})
            a_scan = card.get("slice_s", float("nan")) * cell.data.slices / cell.data.scans
            weights = [note.split()[0] for note in cell.fit.notes if note.endswith(" weights")]
            rows[cell.spec.method] = [
                f"`{cell.spec.method}`",
                f"{cell.fit.wall_s:.0f}",
                str(cell.fit.slices_seen),
                " + ".join(weights),
                f"{a_scan:.2g}",
                str(card.get("memory_mb", "")),
            ]
    head = ["method", "training, s", "slices seen", "weights", "scoring a scan, s", "memory, MB"]
    return (
        "Training was timed here, beside whatever else ran. Scoring and memory are those of the "
        "[cards](reference/cards.md), of slices of 128 x 112 pixels.\n\n"
        + _table(head, list(rows.values()))
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def view(results: ub.Results, given: dict[str, Any]) -> SliceView:
    """Return the slice with the most lesion of a patient, and every method's map of it."""
    data = ub.prepare(_SHOWN, progress=False, **given)
    scan = max(data.scans_of("test"), key=lambda one: int((data.lesion(one) == 1).sum()))
    slices, lesion = data.slices(scan), np.asarray(data.lesion(scan))
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    image, brain = np.zeros((2, *data.grid.shape), np.float32)
    image[slices.z], brain[slices.z] = slices.image[:, 0], slices.brain[:, 0]
    z, views = slices.z[at], []
    done = {cell.spec.method: cell for cell in results.cells if cell.state == "done"}
    for name, cell in done.items():
        detector = results.detector(name, seed=min(c.spec.seed for c in done.values()))
        found = detector.predict(image, brain=brain, postprocessing=_POSTPROCESSING)
        views.append(MethodView(cell.method_title, found.map[z]))
    title = f"{_SHOWN.upper()}, {scan.name}"
    return SliceView(title, data.simulated, image[z], lesion[at], tuple(views))


if __name__ == "__main__":
    main()
