"""Write the help of every command into the page of commands, when the site is built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

MARK = "<!-- the help of every command -->"
GROUPS = {"atlas": ("build", "show")}
"""Commands that are several."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with the help of every command in place of the mark."""
    return markdown.replace(MARK, "\n".join(_sections())) if MARK in markdown else markdown


def _sections() -> Iterator[str]:
    from uad_bench.cli import COMMANDS

    for name, (_, summary) in COMMANDS.items():
        yield f"## {name}\n\n{summary}\n"
        for words in [[name], *([name, part] for part in GROUPS.get(name, ()))]:
            yield f"```text\n$ uad-bench {' '.join(words)} --help\n{_help(words)}\n```\n"


def _help(words: list[str]) -> str:
    from uad_bench.cli import main

    os.environ["COLUMNS"] = "96"
    with redirect_stdout(StringIO()) as shown:
        main([*words, "--help"])
    return shown.getvalue().strip()
