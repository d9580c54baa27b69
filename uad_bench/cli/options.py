"""Options that several commands share. Those of settings are made from the settings' model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import PLUGINS_HELP

if TYPE_CHECKING:
    from uad_bench.runner.settings import Settings

PluginPaths = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE|DIR", help=f"{PLUGINS_HELP} Repeatable."),
]
"""The type of a command's ``plugin`` parameter; its default is ``None``. For commands that take no
settings, and start faster without the model."""

ResultsPath = Annotated[Path, typer.Option(help="A run's results folder.")]
"""The type of a command's ``results`` parameter; its default is :data:`RESULTS`."""

RESULTS = Path("results")

MetricName = Annotated[
    str | None, typer.Option(metavar="NAME", help="A metric.  [default: the protocol's first]")
]
DatasetNames = Annotated[
    str | None,
    typer.Option("--datasets", "--dataset", metavar="A,B,...", help="Datasets.  [default: all]"),
]
ProtocolName = Annotated[
    str | None, typer.Option(help="A protocol.  [default: strict, or the only one that was run]")
]
SpaceName = Annotated[str, typer.Option(help="template or native.")]
PostProcessingName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A post-processing.  [default: none, or the only one that was run]",
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        help="terminal, latex, markdown, html or csv.  [default: as the file's ending says]",
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write to a file, .tex, .md, .html, .csv or .txt."
    ),
]
"""The types of the parameters of commands that show results in words and numbers."""

ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="YAML file with options of `run`; flags win.")
]

DatasetWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="DATASET", help="Datasets, as --datasets takes them."),
]
"""The type of the ``names`` of a command about datasets, which may be named without the flag."""

Given = Mapping[str, Any]
"""What the user said of a command's settings, by field. What was left out is not in it."""

_SPELLINGS = {
    "methods": ("-m", "--methods"),
    "datasets": ("--datasets", "--dataset"),
    "seeds": ("--seeds", "--seed"),
    "jobs": ("-j", "--jobs"),
}
_ENVIRONMENT = {"data_root": "UAD_BENCH_DATA", "storage": "UAD_BENCH_STORAGE"}
_FILES = ("cluster",)
"""Settings with a path that is a file's."""

_REPEATED: Mapping[str, tuple[Any, str]] = {
    "param": (list[str], "METHOD.NAME=VALUE"),
    "plugin": (list[Path], "FILE|DIR"),
}


def takes(
    *wanted: type[Settings] | str, one_dataset: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every setting that it needs, with help and default of the model.

    The command is called with what was said of them as its argument ``given``.

    Args:
        wanted: groups of settings, and single settings by field.
        one_dataset: whether the command is about one dataset, which then has no default.
    """
    groups = [(one,) if isinstance(one, str) else tuple(one.model_fields) for one in wanted]
    names = {name for group in groups for name in group}

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            given = {name: value for name, value in given.items() if value not in (None, [])}
            if "param" in given:
                given["param"] = parameters(given["param"])
            command(given=given, **values)

        own = inspect.signature(command, eval_str=True)
        kept = [param for name, param in own.parameters.items() if name != "given"]
        called.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*kept, *_options(names, {"datasets"} if one_dataset else set())]
        )
        return called

    return with_options


def _options(names: set[str], no_default: set[str]) -> Iterator[inspect.Parameter]:
    """Yield a parameter of typer's for each of these settings, in the model's order."""
    from uad_bench.runner.config import RunConfig
    from uad_bench.runner.settings import default, heading, meaning

    for name, field in RunConfig.model_fields.items():
        if name in names:
            kind, metavar = _REPEATED.get(name) or _read_as(field.annotation)
            metavar = "FILE" if name in _FILES else metavar
            flag = f"--{name.replace('_', '-')}"
            usual = f"{flag}/--no-{name}" if kind is bool else flag
            text = meaning(field) + (" Repeatable." if name in _REPEATED else "")
            known = "" if name in no_default else default(field)
            option = typer.Option(
                None,
                *_SPELLINGS.get(name, (usual,)),
                metavar=metavar,
                envvar=_ENVIRONMENT.get(name),
                help=f"{text}  [default: {known}]" if known else text,
                rich_help_panel=heading(RunConfig, name),
            )
            yield inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None
            )


def _read_as(annotation: Any) -> tuple[Any, str | None]:
    """How the command line reads a type of the model, which then validates it, and shows it."""
    if get_origin(annotation) is tuple:
        return str, "A,B,..."
    if getattr(annotation, "__name__", "") == "SecretStr":
        return str, "URL"
    if get_origin(annotation) is Literal:
        return str, "|".join(get_args(annotation))
    for part in get_args(annotation):
        if part is not type(None):
            return _read_as(part)
    plain = {bool: None, int: "N", float: "MM", Path: "DIR", str: "TEXT"}
    return annotation, plain[annotation]


def with_datasets(given: Given, names: Sequence[str] | None) -> Given:
    """Add the datasets that were named without the flag.

    Raises:
        UadBenchError: they were named with it too.
    """
    if not names:
        return given
    if "datasets" in given:
        raise UadBenchError("datasets are named twice, with --datasets and without; keep one")
    return {**given, "datasets": ",".join(names)}


def parameters(items: Sequence[str]) -> dict[str, Any]:
    """Read ``method.name=value`` items.

    Raises:
        UadBenchError: one that is not written so, or two values for one parameter.
    """
    from uad_bench.system.yaml_files import Written

    found: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or "." not in key:
            raise UadBenchError(f"--param {item}: write METHOD.NAME=VALUE, such as spa.beta=1e-4")
        if found.setdefault(key, Written(value)) != value:
            raise UadBenchError(f"--param {key}: is {found[key]}, and {value} as well; keep one")
    return found
