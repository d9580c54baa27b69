"""Finds plugins: the built-in folders, entry points, and ``--plugin`` files.

Finding reads sources and imports nothing; a plugin is imported on first use. What cannot be
used is an entry with its reason, and stops nobody else.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

import uad_bench.datasets
import uad_bench.evaluation.postprocessings
import uad_bench.evaluation.protocols
import uad_bench.methods
from uad_bench.errors import PluginError, UadBenchError
from uad_bench.plugins.declarations import Declaration, Kind, name_fault, read_declarations
from uad_bench.plugins.entry import Entry, Source
from uad_bench.plugins.installed import may_be_installed

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from uad_bench.dataset import Dataset
    from uad_bench.evaluation.postprocessing import PostProcessing
    from uad_bench.evaluation.protocol import Protocol
    from uad_bench.method import Method

PLUGINS_VARIABLE = "UAD_BENCH_PLUGINS"
"""Environment variable with further plugin files and folders, separated as in ``PATH``."""

PLUGINS_HELP = f"File or folder with plugins of your own. Also {PLUGINS_VARIABLE}."
"""What ``--plugin`` takes, in the help of every command."""

GROUPS: dict[Kind, str] = {
    "method": "uad_bench.methods",
    "dataset": "uad_bench.datasets",
    "protocol": "uad_bench.protocols",
    "post-processing": "uad_bench.postprocessings",
}
"""The kinds of plugins, and the entry points of each."""

_BUILT_IN = (
    uad_bench.methods,
    uad_bench.datasets,
    uad_bench.evaluation.protocols,
    uad_bench.evaluation.postprocessings,
)


@dataclass(frozen=True, slots=True)
class PluginSources:
    """Where plugins other than built-ins and entry points are: enough to rebuild a registry.

    Attributes:
        paths: absolute files and folders, in the order given.
    """

    paths: tuple[Path, ...] = ()

    @classmethod
    def gather(
        cls, options: Iterable[Path] = (), environment: Mapping[str, str] | None = None
    ) -> PluginSources:
        """Take the paths of ``--plugin`` and of :data:`PLUGINS_VARIABLE`.

        Raises:
            PluginError: a path does not exist, or is a folder without a Python file.
        """
        variable = (os.environ if environment is None else environment).get(PLUGINS_VARIABLE, "")
        given = [(path, "--plugin") for path in options]
        given += [(Path(p), PLUGINS_VARIABLE) for p in variable.split(os.pathsep) if p]
        paths = []
        for path, option in given:
            absolute = path.expanduser().resolve()
            if not absolute.exists():
                raise PluginError(f"{option}: {path} does not exist; give a .py file or a folder")
            if absolute.is_dir() and not _python_files(absolute):
                raise PluginError(f"{option}: folder {path} holds no .py file")
            paths.append(absolute)
        return cls(tuple(dict.fromkeys(paths)))


class Registry:
    """Every plugin that was found. Names are unique, or unusable and say why."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(_mark_clashes(list(entries)))

    def entries(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """All entries, or those of one kind; built-ins first, then by name."""
        return tuple(e for e in self._entries if kind is None or e.kind == kind)

    def names(self, kind: Kind) -> tuple[str, ...]:
        """The names that can be used."""
        return tuple(e.name for e in self.entries(kind) if e.state == "ready")

    def find(self, kind: Kind, name: str) -> Entry:
        """The entry of a name.

        Raises:
            UadBenchError: there is none; the message offers the nearest name.
            PluginError: it is broken, or the name is taken twice.
        """
        for entry in self._entries:
            if entry.name == name and entry.kind in (kind, None):
                if entry.state != "ready":
                    raise PluginError(entry.reason)
                return entry
        raise UadBenchError(self._unknown(kind, name, kind))

    def matching(self, name: str) -> tuple[Entry, ...]:
        """The usable entries of a name, of whatever kind.

        Raises:
            UadBenchError: there is none; the message offers the nearest name.
            PluginError: one is broken, or the name is taken twice.
        """
        kinds: tuple[Kind, ...] = tuple(GROUPS)
        known = tuple(kind for kind in kinds if any(e.name == name for e in self.entries(kind)))
        if not known and not any(e.name == name for e in self._entries):
            raise UadBenchError(self._unknown("name", name, *kinds))
        return tuple(self.find(kind, name) for kind in known or kinds[:1])

    def method(self, name: str) -> type[Method]:
        """Import a method by name; raises as :meth:`find` and :meth:`Entry.load` do."""
        return self.find("method", name).load()  # type: ignore[return-value]

    def dataset(self, name: str) -> type[Dataset]:
        """Import a dataset by name; raises as :meth:`find` and :meth:`Entry.load` do."""
        return self.find("dataset", name).load()  # type: ignore[return-value]

    def protocol(self, name: str) -> Protocol:
        """Import a protocol by name; raises as :meth:`find` and :meth:`Entry.load` do."""
        return self.find("protocol", name).load()  # type: ignore[return-value]

    def postprocessing(self, name: str) -> PostProcessing:
        """Import a post-processing by name, ``NAME`` or ``NAME=NUMBER``, or a chain ``A+B=NUMBER``.

        Raises:
            UadBenchError: there is none of a name, or it takes no such number.
            PluginError: one is broken, or the name is taken twice.
        """
        from uad_bench.evaluation.postprocessing import chained

        steps = [part.strip() for part in name.split("+")]
        if "" in steps:
            raise UadBenchError(f"post-processing {name}: a + joins two names; one is missing")
        return chained([self._step(part) for part in steps])

    def postprocessings(self, names: Collection[str]) -> tuple[PostProcessing, ...]:
        """Import some post-processings, each once, in the order in which tables show them.

        Raises:
            UadBenchError: as :meth:`postprocessing`, for all names at once.
        """
        found, problems = {}, []
        for name in sorted(names):
            try:
                one = self.postprocessing(name)
            except UadBenchError as error:
                problems.append(str(error))
            else:
                found[one.name] = one
        if problems:
            raise UadBenchError("; ".join(problems))
        return tuple(sorted(found.values(), key=lambda one: (bool(one.mark), one.name)))

    def _step(self, text: str) -> PostProcessing:
        """Import one step of a chain."""
        name, has_number, number = text.partition("=")
        step: PostProcessing = self.find("post-processing", name).load()  # type: ignore[assignment]
        return step.with_number(number) if has_number else step

    def _unknown(self, what: str, name: str, *kinds: Kind) -> str:
        names = [known for kind in kinds for known in self.names(kind)]
        near = difflib.get_close_matches(name, names, n=1)
        parts = [f"Unknown {what} {name!r}."]
        parts += [f"Did you mean {near[0]!r}?"] if near else []
        parts += [f"Available: {', '.join(names) or 'none'}."]
        broken = [e.reason for e in self._entries if e.state == "broken"]
        parts += [f"Not usable: {'; '.join(broken)}."] if broken else []
        return " ".join(parts)


def discover(sources: PluginSources | None = None) -> Registry:
    """Find the built-ins, the entry points of installed packages, and ``sources``.

    Nothing is imported. The same file found twice is one entry.
    """
    found = [*_built_ins(), *_entry_points()]
    for path in () if sources is None else sources.paths:
        files = _python_files(path) if path.is_dir() else [path]
        found += [read_plugin(file) for file in files]
    unique: dict[object, Entry] = {}
    for entry in found:
        unique.setdefault((entry.path, entry.attribute) if entry.path else entry, entry)
    return Registry(unique.values())


def open_registry(plugins: Iterable[Path] | None, *, strict: bool = True) -> Registry:
    """Find all methods and datasets.

    Args:
        plugins: files and folders, as ``--plugin`` takes them.
        strict: refuse a file given by name that cannot be used. Files of a folder, and whatever
            was not asked for by name, are only listed with their reason.

    Raises:
        PluginError: a path does not exist, or a file given by name cannot be used.
    """
    sources = PluginSources.gather(plugins or ())
    registry = discover(sources)
    if strict:
        for entry in registry.entries():
            if entry.state != "ready" and entry.path in sources.paths:
                raise PluginError(entry.reason)
    return registry


def read_plugin(path: Path) -> Entry:
    """The entry of one plugin file, which holds one plugin."""
    from hashlib import sha256

    path = path.resolve()
    folder = sha256(str(path.parent).encode()).hexdigest()[:8]
    return _file_entry(path, "plugin", f"uad_bench_plugin_{folder}.{path.stem}")


def split_dataset(text: str) -> tuple[str, Path | None]:
    """Split ``NAME`` or ``NAME:PATH``, as ``bids:/data/my-dataset``, at the first colon.

    Raises:
        UadBenchError: the name or the path is empty.
    """
    name, colon, folder = text.partition(":")
    if not name or (colon and not folder):
        raise UadBenchError(f"Dataset {text!r} is incomplete; write NAME or NAME:PATH")
    return name, Path(folder).expanduser() if colon else None


def _python_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.py") if not p.name.startswith("_"))


def _built_ins() -> Iterator[Entry]:
    for package in _BUILT_IN:
        for folder in package.__path__:
            for path in _python_files(Path(folder).resolve()):
                yield _file_entry(path, "built-in", f"{package.__name__}.{path.stem}")


def _file_entry(path: Path, source: Source, module: str) -> Entry:
    """One file's entry; a broken one where it does not hold exactly one plugin."""
    broken = Entry(None, path.stem.replace("_", "-"), source, module, path=path, state="broken")
    if path.suffix != ".py" or "." in path.stem:
        return replace(broken, reason=f"{path}: a plugin file is called NAME.py, without dots")
    try:
        declared = read_declarations(path)
    except PluginError as error:
        return replace(broken, reason=str(error))
    if len(declared) == 1:
        return _declared(declared[0], source, module, path)
    found = ", ".join(f"{d.attribute} in line {d.line}" for d in declared)
    reason = (
        f"{path}: holds {len(declared)} plugins ({found}); one file holds one"
        if declared
        else f"{path}: holds no plugin: a public class whose info is MethodInfo(...) or "
        "DatasetInfo(...), or a public Protocol or PostProcessing"
    )
    return replace(broken, reason=reason)


def _declared(declared: Declaration, source: Source, module: str, path: Path) -> Entry:
    return Entry(
        kind=declared.kind,
        name=declared.name,
        source=source,
        module=module,
        attribute=declared.attribute,
        path=path,
        line=declared.line,
        summary=declared.summary,
        beside=declared.beside,
        stands_for=declared.stands_for,
    )


def _entry_points() -> Iterator[Entry]:
    if not may_be_installed(GROUPS.values()):
        return
    from importlib.metadata import entry_points  # takes longer than reading every built-in

    installed = entry_points()
    for kind, group in GROUPS.items():
        for point in sorted(installed.select(group=group), key=lambda p: (p.name, p.value)):
            yield _entry_point(kind, point)


def _entry_point(kind: Kind, point: EntryPoint) -> Entry:
    """An entry point's entry. Its source is read where it can be found without importing."""
    package = point.dist.name if point.dist else "an installed package"
    entry = Entry(kind, point.name, "entry point", point.module, point.attr or None)
    try:
        return _located(entry, kind)
    except PluginError as error:
        reason = f"{package}: entry point '{point.name} = {point.value}': {error}"
        return replace(entry, state="broken", reason=reason)


def _located(entry: Entry, kind: Kind) -> Entry:
    """Add what the source of an entry point's module declares, where it can be read."""
    if fault := name_fault(kind, entry.name):
        raise PluginError(fault)
    path = _locate(entry.module)
    if path is None:
        raise PluginError(f"no module {entry.module}; reinstall the package")
    declared = read_declarations(path) if path.suffix == ".py" else ()
    chosen = [d for d in declared if entry.attribute in (None, d.attribute) and d.kind == kind]
    if len(chosen) != 1:
        return replace(entry, path=path)
    if chosen[0].name != entry.name:
        raise PluginError(f"the {kind} in {path}:{chosen[0].line} is called {chosen[0].name!r}")
    return _declared(chosen[0], entry.source, entry.module, path)


def _locate(module: str) -> Path | None:
    """The file of a module, without importing its parent packages."""
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        folders = None if spec is None else spec.submodule_search_locations
        if depth > 1 and folders is None:
            return None
        finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
        specs = (find(name, folders) for find in finders if find is not None)
        spec = next((found for found in specs if found is not None), None)
        if spec is None:
            return None
    has_file = spec is not None and spec.has_location and spec.origin is not None
    return Path(spec.origin).resolve() if has_file else None  # type: ignore[union-attr, arg-type]


def _mark_clashes(entries: list[Entry]) -> list[Entry]:
    """Sort the entries, and mark every name that is taken more than once."""
    order = ("built-in", "entry point", "plugin")
    entries.sort(key=lambda e: (order.index(e.source), e.name, e.origin))
    taken: defaultdict[tuple[Kind, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind is not None and entry.state == "ready":
            taken[entry.kind, entry.name].append(entry)
    marked = []
    for entry in entries:
        rivals = [] if entry.kind is None else taken[entry.kind, entry.name]
        if len(rivals) > 1 and entry.state == "ready":
            origins = " and ".join(rival.origin for rival in rivals)
            reason = f"{entry.kind} name {entry.name!r} is taken twice: {origins}; rename one"
            entry = replace(entry, state="clash", reason=reason)  # noqa: PLW2901
        marked.append(entry)
    return marked
