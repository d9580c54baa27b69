"""``uad-bench show``: everything that a plugin says about itself."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from uad_bench.cli.options import PluginPaths
from uad_bench.cli.output import print_block, print_facts, print_table
from uad_bench.cli.streams import echo
from uad_bench.plugins.registry import open_registry

if TYPE_CHECKING:
    from uad_bench.dataset import Dataset, DatasetInfo
    from uad_bench.evaluation.postprocessing import PostProcessing
    from uad_bench.evaluation.protocol import MetricInfo, Protocol
    from uad_bench.method import Method
    from uad_bench.plugins.entry import Entry
    from uad_bench.report.publication import ScannerFacts

_BESIDE = {None: "", "all": "all methods", "networks": "networks"}


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin's name.")],
    plugin: PluginPaths = None,
) -> None:
    """Show what a plugin is: what it says about itself, parameters or metrics, origin."""
    from uad_bench.evaluation.postprocessing import PostProcessing
    from uad_bench.evaluation.protocol import Protocol
    from uad_bench.method import Method

    for index, entry in enumerate(open_registry(plugin).matching(name)):
        if index:
            echo()
        loaded = entry.load()
        if isinstance(loaded, Protocol):
            _show_protocol(entry, loaded)
        elif isinstance(loaded, PostProcessing):
            _show_postprocessing(entry, loaded)
        elif issubclass(loaded, Method):
            _show_method(entry, loaded)
        else:
            _show_dataset(entry, loaded)


def _show_method(entry: Entry, method: type[Method]) -> None:
    """Print a method's facts, its parameters and its module's description."""
    from uad_bench.cli.parameter_table import print_parameters

    info = method.info
    print_facts(
        (
            ("method", info.name),
            ("title", info.title),
            ("summary", entry.summary),
            ("citation", info.citation),
            ("needs", ", ".join(sorted(info.needs)) or "nothing but slices"),
            ("trains", _yes(info.trains)),
            ("draws at random", _yes(info.draws)),
            ("supervised", _yes(info.supervised)),
            ("control", _yes(info.control)),
            ("stands beside", _BESIDE[info.beside]),
            ("left out beside", info.stands_for),
            ("tuned on", ", ".join(method.objective)),
            ("source", entry.source),
            ("origin", entry.origin),
        )
    )
    echo()
    if method.Params.model_fields:
        print_parameters(method)
    else:
        echo("no parameters")
    description = inspect.getdoc(sys.modules[method.__module__]) or ""
    print_block("description", "" if description.rstrip(".") == entry.summary else description)


def _show_protocol(entry: Entry, protocol: Protocol) -> None:
    """Print a protocol's version, caption and metrics, and what it does."""
    print_facts(
        (
            ("protocol", protocol.name),
            ("version", str(protocol.version)),
            ("summary", entry.summary),
            ("caption", protocol.caption),
            ("source", entry.source),
            ("origin", entry.origin),
        )
    )
    echo()
    print_table(
        ("METRIC", "TITLE", "UNIT", "BETTER", "SHOWN"),
        [(one.name, one.title, one.unit, _better(one), one.shown) for one in protocol.metrics],
    )
    print_block("description", protocol.description)


def _better(metric: MetricInfo) -> str:
    """Which values of a metric are better, in words."""
    return f"near {metric.target:g}" if metric.target is not None else metric.better or ""


def _show_postprocessing(entry: Entry, postprocessing: PostProcessing) -> None:
    """Print a post-processing's version, mark, caption and number."""
    number = postprocessing.number
    print_facts(
        (
            ("post-processing", postprocessing.name),
            ("version", str(postprocessing.version)),
            ("summary", entry.summary),
            ("mark", postprocessing.mark.strip()),
            ("caption", postprocessing.caption),
            ("number", "" if number is None else f"{number}, {number.default:g} if not given"),
            ("source", entry.source),
            ("origin", entry.origin),
        )
    )


def _show_dataset(entry: Entry, dataset: type[Dataset]) -> None:
    """Print a dataset's facts, its folder layout and its BibTeX entry."""
    from uad_bench.report.bercea2022 import BERCEA_2022

    info: DatasetInfo = dataset.info
    printed = BERCEA_2022.data.get(info.name)
    print_facts(
        (
            ("dataset", info.name),
            ("title", info.title),
            ("disease", info.disease),
            ("citation", info.citation),
            ("licence", info.licence),
            ("obtain", info.obtain),
            ("folders", ", ".join(info.folders)),
            ("scans", str(info.expected_scans or "")),
            *(_scanner_facts(printed) if printed else ()),
            *(("note", note) for note in info.notes),
            ("source", entry.source),
            ("origin", entry.origin),
        )
    )
    print_block("layout", info.layout)
    print_block("BibTeX", info.bibtex)


def _scanner_facts(facts: ScannerFacts) -> tuple[tuple[str, str], ...]:
    """Table 1 of the paper, in lines."""
    return (
        ("scanner", facts.scanner),
        ("resolution", _numbers(facts.resolution_mm, "mm (z, y, x)")),
        ("TR, TE, TI", _numbers(facts.tr_te_ti_s, "s")),
        ("age", facts.age or ""),
        ("female", "" if facts.female_percent is None else f"{facts.female_percent} %"),
        ("splits", "{} train, {} validation, {} test".format(*facts.splits)),
    )


def _numbers(values: tuple[float, ...] | None, unit: str) -> str:
    return "" if values is None else f"{', '.join(f'{v:g}' for v in values)} {unit}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
