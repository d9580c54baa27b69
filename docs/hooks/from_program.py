"""Write what the program says of itself into the reference, when the site is built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

GROUPS = {"atlas": ("build", "show")}
"""Commands that are several."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with the program's words in place of its marks."""
    for mark, write in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(write()))
    return markdown


def commands() -> Iterator[str]:
    """The help of every command."""
    from uad_bench.cli import COMMANDS

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


def parameters() -> Iterator[str]:
    """The parameters of every built-in method, as `uad-bench show` has them; controls come last."""
    from uad_bench.plugins.registry import open_registry

    names = open_registry(None).names("method")
    for name in sorted(names, key=lambda name: name.startswith("control-")):
        lines = _said("show", name).splitlines()
        yield f"## {name}\n"
        (summary,) = (line for line in lines if line.startswith("summary"))
        yield f"{summary.removeprefix('summary').strip()}.\n"
        start = next((i for i, line in enumerate(lines) if line.startswith("PARAMETER")), None)
        if start is None:
            yield "It has no parameters.\n"
            continue
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
    "<!-- the parameters of every method -->": parameters,
}
