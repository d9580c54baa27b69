"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import PLUGINS_VARIABLE
from uad_bench.plugins.registry import open_registry as open_registry  # noqa: PLC0414

PluginPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE|DIR",
        help=f"A plugin of your own; may be repeated. Also {PLUGINS_VARIABLE}.",
    ),
]
"""The type of a command's ``plugin`` parameter; its default is ``None``."""

# Options of a run's configuration, for every command that makes one; their default is ``None``,
# for what the configuration file or ``RunConfig`` says.
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", help="A parameter, as spa.beta=1e-4. Repeatable."),
]
Preset = Annotated[
    str | None,
    typer.Option(help="Parameters of each method that has this preset, such as paper."),
]
Train = Annotated[
    str | None, typer.Option(help="Healthy dataset to learn from, or bids:PATH.  [default: hi]")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        envvar="UAD_BENCH_DATA",
        help="Folder with the real datasets. Without it everything is simulated.",
    ),
]
Recipe = Annotated[
    str | None, typer.Option(help="Preparation: median, paper, or a YAML file.  [default: median]")
]
Template = Annotated[
    Path | None, typer.Option(help="Folder of SRI24, to register raw scans to it.")
]
Tissues = Annotated[
    str | None,
    typer.Option(help="Tissue maps for the shape prior: atropos, or a YAML mapping file."),
]
LesionPattern = Annotated[
    str | None,
    typer.Option(
        help="Files that are lesion masks, as '*_msk.nii.gz', or a YAML mapping file. BIDS only."
    ),
]
MaskShift = Annotated[
    float | None,
    typer.Option(
        metavar="MM",
        min=0.0,
        help="Lay masks voxel on voxel whose header is off by up to this.  [default: 0]",
    ),
]
AtlasFolder = Annotated[
    Path | None,
    typer.Option(help="Tissue prior from `atlas build`, instead of the training dataset's."),
]
Protocols = Annotated[
    str | None, typer.Option(help="Protocols, such as strict,paper.  [default: strict]")
]
PostProcessings = Annotated[
    str | None, typer.Option(help="Post-processings.  [default: none,star]")
]
Space = Annotated[
    str | None,
    typer.Option(help="Voxels to score: template, or each scan's native.  [default: template]"),
]
Overwrite = Annotated[
    str | None, typer.Option(help="never, missing, failed or all.  [default: missing]")
]
Seeds = Annotated[str | None, typer.Option(help="Training seeds, such as 0,1,2.  [default: 0]")]
Phantoms = Annotated[int | None, typer.Option(help="Simulated patients per dataset.  [default: 3]")]
Anatomies = Annotated[
    Path | None, typer.Option(help="Label maps to simulate from, instead of the template.")
]
Limit = Annotated[
    int | None, typer.Option(help="At most this many subjects per dataset and split.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, or auto.  [default: auto]")]
Results = Annotated[
    Path | None, typer.Option(help="Where everything is written.  [default: results]")
]
Cache = Annotated[
    Path | None, typer.Option(help="Prepared data, shared between runs.  [default: user cache]")
]
Jobs = Annotated[
    int | None,
    typer.Option("-j", "--jobs", help="Preparation processes.  [default: all cores]"),
]
SpaceName = Annotated[str, typer.Option(help="Voxels that were scored: template or native.")]
ConfigFile = Annotated[
    Path | None, typer.Option(help="YAML file with options of `run`; flags win.")
]


def scalar(text: str) -> Any:
    """Read a parameter's value: a scalar as in a YAML file, so that both take the same."""
    import yaml

    from uad_bench.system.yaml_files import parse_yaml

    try:
        return parse_yaml(text)
    except yaml.YAMLError:
        return text


def parameters(items: list[str] | None) -> dict[str, Any] | None:
    """Read ``method.name=value`` items; ``None`` where none was given.

    Raises:
        UadBenchError: one that is not written so.
    """
    found = {}
    for item in items or ():
        key, equals, value = item.partition("=")
        if not equals or "." not in key:
            raise UadBenchError(f"--param {item}: write METHOD.NAME=VALUE, such as spa.beta=1e-4")
        found[key] = scalar(value)
    return found or None
