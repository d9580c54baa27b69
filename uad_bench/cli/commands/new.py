"""``uad-bench new``: a commented template to start from."""

from __future__ import annotations

from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from shlex import quote
from string import Template
from typing import Annotated

import typer

from uad_bench.cli.options import PluginPaths
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError
from uad_bench.plugins.declarations import Kind, name_fault
from uad_bench.plugins.registry import open_registry
from uad_bench.system.disk import make_folder, writing


class Made(StrEnum):
    """What to make."""

    method = "method"
    dataset = "dataset"


def new(
    kind: Annotated[Made, typer.Argument(help="What to make.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name on the command line.")],
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where to write it; made if missing.")
    ] = Path(),
    plugin: PluginPaths = None,
) -> None:
    """Write a plugin file that works, to be changed into your own."""
    word: Kind = "method" if kind is Made.method else "dataset"
    if fault := name_fault(word, name):
        raise UadBenchError(f"{fault[0].upper()}{fault[1:]}")
    for entry in open_registry(plugin).entries(word):
        if entry.name == name:
            raise UadBenchError(f"The {word} name {name!r} is taken by {entry.origin}")
    path = folder.expanduser() / f"{name.replace('-', '_')}.py"
    with writing(path):
        make_folder(path.parent)
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(_source(word, name))
        except FileExistsError as error:
            raise UadBenchError(f"{path} exists; give another name, or remove it first") from error
    shown = quote(str(path))
    flag = "--methods" if word == "method" else "--datasets"
    echo(f"wrote {path}")
    echo(f"next: uad-bench check {shown}", err=True)
    echo(f"then: uad-bench run --plugin {shown} {flag} {name}", err=True)


def _source(kind: Kind, name: str) -> str:
    """The template of ``kind``, filled in."""
    template = files("uad_bench.plugins").joinpath("templates", f"{kind}.py.txt").read_text("utf-8")
    words = name.split("-")
    camel = "".join(word.capitalize() for word in words)
    class_name = camel if camel[0].isalpha() else f"{kind.capitalize()}{camel}"
    title = " ".join([words[0].capitalize(), *words[1:]])
    return Template(template).substitute(name=name, class_name=class_name, title=title)
