"""The leaderboard: every method on every dataset under one protocol, and one lesion through all.

    python -m studies.leaderboard --results RESULTS [--data-root DIR] [--methods NAMES]

Without a data root every person is simulated. Cells that are finished are kept, so that the same
command goes on where it was stopped. It writes docs/leaderboard.md and its picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import uad_bench as ub
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.report.figures.cells import MethodView, SliceView, lesion_picture

_DOCS = Path("docs")
_METRICS = {"auprc": "AUPRC", "dice": "Dice at 1 % FPR"}
_SHOWN = "wmh"
"""The dataset whose patient with the most lesion is shown."""

_POSTPROCESSING = "star"


def main() -> None:
    """Run what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--methods", help="default: every method that needs no file of yours")
    parser.add_argument("--docs", type=Path, default=_DOCS, help="default: docs")
    options = parser.parse_args()
    names = options.methods.split(",") if options.methods else every_method()
    given = {} if options.data_root is None else {"data_root": options.data_root}
    results = ub.run(
        names, "all", results=options.results, tune=False, postprocessing=_POSTPROCESSING, **given
    )
    name = "leaderboard-lesion.png"
    (options.docs / "images" / name).write_bytes(lesion_picture(view(results, given)))
    (options.docs / "leaderboard.md").write_text(page(results, f"images/{name}"))


def every_method() -> list[str]:
    """Return the methods that learn without labels and need no file of the user's."""
    registry, found = open_registry(None), []
    for name in registry.names("method"):
        method = registry.method(name)
        try:
            method.resolve(method.Params())
        except UadBenchError:
            continue
        if not (method.info.control or method.info.supervised):
            found.append(name)
    return found


def page(results: ub.Results, picture: str) -> str:
    """Return the page in Markdown."""
    frame = results.to_frame()
    frame = frame[frame.state == "done"]
    simulated = bool(frame.simulated.all())
    costs = json.loads((_DOCS / "reference" / "costs.json").read_text())["methods"]
    parts = [
        "# Leaderboard",
        "Every built-in method with its default parameters, untuned, one seed, under the protocol "
        f"`strict`. The map is the positive residual and a median filter (`{_POSTPROCESSING}`). "
        + ("**All people are simulated.** " if simulated else "")
        + "Methods are sorted by their mean rank over the datasets. A control is no detector: a "
        "method below it has not been shown to work. Repeat it with "
        "`python -m studies.leaderboard --results RESULTS`.",
    ]
    for metric, title in _METRICS.items():
        wide = frame[frame.metric == metric].pivot_table("value", "method", "dataset", sort=False)
        rank = wide.rank(ascending=False).mean(axis=1)
        wide = wide.assign(rank=rank).sort_values("rank")
        head = ["method", "mean rank", *wide.columns[:-1]]
        rows = [head, ["---", *["--:"] * (len(head) - 1)]]
        if metric == "auprc":
            rows[0] += ["s per slice"]
            rows[1] += ["--:"]
        for name, line in wide.iterrows():
            cells = [f"`{name}`", f"{line['rank']:.1f}", *(f"{v:.3f}" for v in line.iloc[:-1])]
            if metric == "auprc":
                cost = costs.get(str(name), {}).get("slice_s")
                cells += ["" if cost is None else f"{cost:g}"]
            rows.append(cells)
        parts += [f"## {title}", "\n".join(f"| {' | '.join(row)} |" for row in rows)]
    for record in results.failed:
        parts.append(f"Failed: `{record.spec.method}` on {record.spec.dataset}, {record.reason}")
    parts += ["## One lesion through every method", f"![one lesion]({picture})"]
    return "\n\n".join(parts) + "\n"


def view(results: ub.Results, given: dict[str, Path]) -> SliceView:
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
        found = results.detector(name).predict(image, brain=brain, postprocessing=_POSTPROCESSING)
        views.append(MethodView(cell.method_title, found.map[z]))
    title = f"{_SHOWN.upper()}, {scan.name}"
    return SliceView(title, data.simulated, image[z], lesion[at], tuple(views))


if __name__ == "__main__":
    main()
