"""The command class: help in the groups of the settings, and nothing loaded that is not used."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command that validates nothing where nothing is given and everything may be left out.

    Typer validates with pydantic, whose import takes longer than the rest of ``uad-bench list``.
    For the same reason the program's own ``--help`` is a flag with a default.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; nothing at all is read without typer's validation."""
        is_plain = all(
            param.default is None and not (param.required or param.envvar or param.callback)
            for param in self.params
        )
        if args or not is_plain:
            return super().parse_args(ctx, args)
        ctx.params.update({param.name: None for param in self.params})
        return []

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then the command's own options, then each group of settings."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            usual = "Arguments" if param.param_type_name == "argument" else "Options"
            if record is not None:
                if usual == "Arguments":  # some versions of typer add Python's type
                    record = (re.sub(r" <.*>$", "", record[0]), record[1])
                heading = getattr(param, "rich_help_panel", None) or usual
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
