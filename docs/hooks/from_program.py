"""Write what the program says of itself into the reference, when the site is built."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

GROUPS = {"atlas": ("build", "show")}
"""Commands that are several."""

REFERENCE = Path(__file__).parents[1] / "reference"

NEEDS = {
    "tissue_prior": "tissue maps, or the template's",
    "lesion_masks": "lesion masks",
    "other_people": "two healthy people to learn from, or more",
    "gpu": "a GPU",
}
COSTS = (
    ("step_s", "a training step", "s"),
    ("fit_s", "learning from 64 slices", "s"),
    ("slice_s", "scoring a slice", "s"),
    ("kept_mb", "what is kept of it", "MB"),
    ("memory_mb", "memory beside the program's", "MB"),
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with the program's words in place of its marks."""
    for mark, write in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(write()))
    return markdown


def commands() -> Iterator[str]:
    """The help of every command."""
    from uad_bench.cli.overview import COMMANDS

    for name, (_, summary) in COMMANDS.items():
        yield f"## {name}\n\n{summary}\n"
        for words in [[name], *([name, part] for part in GROUPS.get(name, ()))]:
            shown = _said(*words, "--help", width=84)
            yield f"```text\n$ uad-bench {' '.join(words)} --help\n{shown}\n```\n"


def settings() -> Iterator[str]:
    """Every setting of a run with its meaning and default, in the groups of the model."""
    from uad_bench.runner.config import RunConfig
    from uad_bench.runner.settings import default, heading, meaning

    fields = RunConfig.model_fields
    groups: dict[str, list[str]] = {}
    for name in fields:
        groups.setdefault(heading(RunConfig, name), []).append(name)
    for title, names in groups.items():
        yield f"### {title}\n"
        yield _row(["setting", "meaning", "default"])
        yield _row(["---"] * 3)
        for name in names:
            known = default(fields[name])
            yield _row([f"`{name}`", meaning(fields[name]), f"`{known}`" if known else ""])
        yield ""


def cards() -> Iterator[str]:
    """A card of every built-in method: facts, costs and parameters; controls come last."""
    from uad_bench.plugins.registry import open_registry

    registry = open_registry(None)
    costs = json.loads((REFERENCE / "costs.json").read_text(encoding="utf-8"))
    yield (
        f"Costs are those of the default parameters on slices of {costs['slices']} pixels. "
        f"{costs['machine'].strip()} The measurement is repeated by `python -m benchmarks.costs`.\n"
    )
    names = registry.names("method")
    for name in sorted(names, key=lambda name: name.startswith("control-")):
        yield f"## {name}\n"
        yield f"{_paragraph(registry.method(name))}\n"
        yield _row(["", ""])
        yield _row(["---"] * 2)
        for fact in _facts(registry.method(name), costs["methods"].get(name, {})):
            yield _row(list(fact))
        yield ""
        yield from _parameters(name)


def _paragraph(method: Any) -> str:
    """The first words of a method's class, as Markdown."""
    return _paragraphs(method)[0]


def _paragraphs(method: Any) -> list[str]:
    """All words of a method's class, as Markdown."""
    words = inspect.cleandoc(method.__doc__ or "")
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", words).replace("``", "`")
    return [" ".join(one.split()) for one in plain.split("\n\n")]


def _facts(method: Any, costs: dict[str, float]) -> Iterator[tuple[str, str]]:
    """What a card says above the parameters: pairs of words."""
    from uad_bench.method import ReconstructionMethod, members_of

    info, name = method.info, method.info.name
    yield "in tables", info.title
    if info.citation:
        yield "reference", info.citation
    if heading := next((one for one in _headings() if name in one.split(", ")), None):
        yield "formulas, differences", f"[{heading}](methods.md#{_anchor(heading)})"
    rebuilds = issubclass(method, ReconstructionMethod)
    is_residual = rebuilds and method.scores_by_residual
    made = " It also reconstructs." if rebuilds and not is_residual else ""
    yield "score", "the residual of its reconstruction" if is_residual else f"its own map.{made}"
    needs = [NEEDS[need] for need in sorted(info.needs)]
    yield "needs", ", ".join(needs) or "healthy scans"
    if method.trained_as is not None:
        yield "trained as", f"[{method.trained_as.info.name}](#{method.trained_as.info.name})"
    if members := members_of(method):
        yield "members", ", ".join(f"[{one.info.name}](#{one.info.name})" for one in members)
    if info.presets:
        listed = ", ".join(f"`{preset}`" for preset in info.presets)
        about = [one for one in _paragraphs(method) if one.startswith("Preset ")]
        yield "presets", ". ".join([listed, *about])
    for key, title, unit in COSTS:
        if key in costs:
            yield title, f"{costs[key]:g} {unit}"


def _headings() -> list[str]:
    """The headings of the page on methods."""
    text = (REFERENCE / "methods.md").read_text(encoding="utf-8")
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w]+", "-", heading.lower()).strip("-")


def _parameters(name: str) -> Iterator[str]:
    """The parameters of a method, as `uad-bench show` has them."""
    lines = _said("show", name).splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("PARAMETER")), None)
    if start is None:
        yield "It has no parameters.\n"
        return
    rows = [line for line in lines[start:] if line]
    columns = [rows[0].index(word) for word in rows[0].split()]
    cells = [_cut(row, columns) for row in rows if not row.startswith(("description", " "))]
    head = [cell.lower() for cell in cells[0]]
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from (_row([f"`{cell[0]}`", *cell[1:]]) for cell in cells[1:])
    yield ""


def _cut(row: str, columns: list[int]) -> list[str]:
    """The cells of a printed row, of which columns begin at these places."""
    ends = [*columns[1:], None]
    return [row[start:end].strip() for start, end in zip(columns, ends, strict=True)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _said(*words: str, width: int = 96) -> str:
    """What a command prints, so many characters wide; a page has room for 86."""
    from uad_bench.cli import main

    os.environ["COLUMNS"] = str(width)
    with redirect_stdout(StringIO()) as shown:
        main(words)
    return shown.getvalue().strip()


MARKS = {
    "<!-- the help of every command -->": commands,
    "<!-- every setting -->": settings,
    "<!-- a card of every method -->": cards,
}
