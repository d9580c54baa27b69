"""The leaderboard: every method on every dataset under one protocol, and one lesion through all.

    python -m studies.leaderboard --results RESULTS [--data-root DIR] [--slices N] [--seeds 0,1,2]

Simulated people come first. One simulated dataset has healthy people beside its patients, so that
the detection of patients is measured, and supervised methods learn from its masks. With a data
root, the same detectors are then tested on the patients there. ``--slices`` is the size: what each
network sees in training, so that all have the same budget; a recipe with larger pixels makes
everything faster, and so does ``--once`` with the methods that score slowest. Finished cells are
kept, so that the same command goes on where it was stopped. It writes leaderboard.md and its
picture.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from studies.submissions import FOLDER, read_submissions
from uad_bench.errors import UadBenchError
from uad_bench.system.disk import make_folder

from .page import Command, page
from .picture import picture
from .runs import Size, plan, refuse_impossible, run

_PICTURE = "leaderboard-lesion.png"


def main() -> None:
    """Run what is not there yet, and write the page."""
    options = _parser().parse_args()
    size = Size(
        slices=options.slices,
        phantoms=options.phantoms,
        seeds=options.seeds,
        once=_names(options.once),
        recipe=options.recipe,
        param=dict(options.param),
        methods=_names(options.methods),
    )
    parts = plan(
        size,
        options.results,
        data_root=options.data_root,
        datasets=_names(options.datasets),
        supervised_on=_names(options.supervised_on),
        jobs=options.jobs,
    )
    refuse_impossible(parts)
    found = [run(part) for part in parts]
    shown = options.docs / "images" / _PICTURE
    make_folder(shown.parent)
    shown.write_bytes(picture(found[0], size.phantoms, size.recipe))
    command = Command(size, options.data_root, options.datasets, options.supervised_on)
    text = page(found, command, read_submissions(FOLDER), f"images/{_PICTURE}")
    (options.docs / "leaderboard.md").write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.leaderboard", description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--data-root", type=Path, help="real patients, tested after the simulated")
    parser.add_argument("--datasets", default="all", help="real datasets; default: all")
    parser.add_argument(
        "--supervised-on", default="", help="real datasets that supervised methods learn from"
    )
    parser.add_argument("--methods", default="", help="default: all that need no file of yours")
    parser.add_argument("--slices", type=int, default=2400, help="default: 2400")
    parser.add_argument("--seeds", type=_seeds, default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--once", default="", help="methods with the first seed alone")
    parser.add_argument("--phantoms", type=int, default=5, help="default: 5")
    parser.add_argument("--recipe", default="median", help="default: median")
    parser.add_argument(
        "--param", type=_param, action="append", default=[], metavar="METHOD.NAME=VALUE"
    )
    parser.add_argument("--jobs", type=int, help="processes that train and score; default: 1")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="default: docs")
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: write whole numbers, such as 0,1,2") from None


def _param(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: write METHOD.NAME=VALUE, such as spa.beta=1e-4")
    return key, value


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


if __name__ == "__main__":
    try:
        main()
    except UadBenchError as error:
        sys.exit(f"error: {error}")
