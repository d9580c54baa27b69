"""Pages as one file of HTML each: the templates beside this module, everything in them escaped."""

from __future__ import annotations

from importlib.resources import files
from typing import Any


def rendered(template: str, **values: Any) -> str:
    """Fill a template. What is not marked as markup is escaped.

    Args:
        template: its file's name.
        values: what it names.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    found = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return found.get_template(template).render(values)


def source(name: str) -> str:
    """Return the text of a file beside this module."""
    return files("uad_bench.report.page").joinpath(name).read_text("utf-8")
