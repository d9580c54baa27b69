"""One plugin that was found, and how it is imported on first use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

from uad_bench.errors import PluginError
from uad_bench.plugins.declarations import Kind, one_line

if TYPE_CHECKING:
    from uad_bench.dataset import Dataset
    from uad_bench.evaluation.postprocessing import PostProcessing
    from uad_bench.evaluation.protocol import Protocol
    from uad_bench.method import Method

Source = Literal["built-in", "entry point", "plugin"]
EntryState = Literal["ready", "broken", "clash"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One method, dataset, protocol or post-processing, found but not imported.

    Attributes:
        kind: what it is; ``None`` where its file cannot be read.
        name: its name on the command line; the file's stem where that cannot be read.
        source: how it was found.
        module: the module that is imported on first use.
        attribute: its name in that module; ``None``: the module's only plugin.
        path: its source file, where there is one.
        line: the line of its statement in that file, from 1.
        summary: one sentence.
        beside: of a control, the methods that it stands beside where nobody names controls.
        stands_for: of a control, the method without which it is needed.
        state: ``ready``, ``broken`` (cannot be used) or ``clash`` (its name is taken twice).
        reason: why it is not ready, in one line.
    """

    kind: Kind | None
    name: str
    source: Source
    module: str
    attribute: str | None = None
    path: Path | None = None
    line: int = 1
    summary: str = ""
    beside: str = ""
    stands_for: str = ""
    state: EntryState = "ready"
    reason: str = ""

    @property
    def origin(self) -> str:
        """File and line, short if below the working folder; or the module if there is no file."""
        if self.path is None:
            return f"module {self.module}"
        here = Path.cwd()
        shown = self.path.relative_to(here) if self.path.is_relative_to(here) else self.path
        return f"{shown}:{self.line}"

    def load(self) -> type[Method] | type[Dataset] | Protocol | PostProcessing:
        """Import the plugin and return its class or object. A failure is not remembered.

        Raises:
            PluginError: it is broken, does not import, or is not what it was listed as.
        """
        if self.state != "ready":
            raise PluginError(self.reason)
        contract, described = _contract(self.kind)
        found = _plugin(_import(self), self, contract)
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        if missing:
            raise PluginError(
                f"{self.origin}: class {found.__name__} does not define {', '.join(missing)}"
            )
        facts = getattr(found, "info", None) if isinstance(found, type) else found
        if not isinstance(facts, described):
            raise PluginError(
                f"{self.origin}: info of class {found.__name__} is not a {described.__name__}; "
                f"make it with {described.__module__}.{described.__name__}"
            )
        if facts.name != self.name:
            raise PluginError(
                f"{self.origin}: listed as {self.name!r}, but its name is {facts.name!r}"
            )
        return cast("type[Method] | type[Dataset] | Protocol | PostProcessing", found)


def _contract(kind: Kind | None) -> tuple[type, type[Any]]:
    """The class that a plugin derives from or is an object of, and the class of its facts."""
    if kind == "protocol":
        from uad_bench.evaluation.protocol import Protocol

        return Protocol, Protocol
    if kind == "post-processing":
        from uad_bench.evaluation.postprocessing import PostProcessing

        return PostProcessing, PostProcessing
    if kind == "dataset":
        from uad_bench.dataset import Dataset, DatasetInfo

        return Dataset, DatasetInfo
    from uad_bench.method import Method, MethodInfo

    return Method, MethodInfo


def _import(entry: Entry) -> ModuleType:
    """Import an entry's module, or say in one line why that fails, and where."""
    importlib.invalidate_caches()
    try:
        if entry.source == "plugin" and entry.path is not None:
            return _import_file(entry.module, entry.path)
        return importlib.import_module(entry.module)
    except (Exception, SystemExit) as error:
        line, trace = entry.line, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(entry.path):
                line = trace.tb_lineno
            trace = trace.tb_next
        where = entry.origin if entry.path is None else f"{entry.path}:{line}"
        what = one_line(f"{type(error).__name__}: {error}")
        raise PluginError(f"{where}: {entry.name} does not import: {what}") from error


class _PluginFolder(ModuleType):
    """The package of the plugin files of one folder; it knows what each held when imported."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.__path__ = [str(folder)]
        self.read: dict[Path, bytes] = {}

    @property
    def inside(self) -> tuple[str, ...]:
        """The names of its modules that are imported."""
        return tuple(name for name in sys.modules if name.startswith(f"{self.__name__}."))

    @property
    def edited(self) -> bool:
        """Whether a file is another than it was, or is gone."""
        return any(
            not file.is_file() or file.read_bytes() != was for file, was in self.read.items()
        )

    def remember(self) -> None:
        """Keep what the imported files hold."""
        for name in self.inside:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file) not in self.read:
                self.read[Path(file)] = Path(file).read_bytes()

    def forget(self) -> None:
        """Let all of it be imported again, from the sources: bytecode is known by whole seconds."""
        for name in self.inside:
            del sys.modules[name]
        for file in self.read:
            Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
        self.read.clear()


def _import_file(name: str, path: Path) -> ModuleType:
    """Import a plugin file; where it or a sibling was edited since, import all of them again.

    So a notebook that lives on sees the method as it is now.
    """
    package = name.rpartition(".")[0]
    folder = sys.modules.get(package)
    if not isinstance(folder, _PluginFolder):
        folder = _PluginFolder(package, path.parent)
        sys.modules[package] = folder
    if folder.edited:
        folder.forget()
    try:
        return importlib.import_module(name)
    finally:
        folder.remember()


def _plugin(module: ModuleType, entry: Entry, contract: type) -> Any:
    """The plugin in its module: a class for methods and datasets, else an object."""
    is_class = entry.kind in {"method", "dataset"}

    def fits(value: object) -> bool:
        return (
            isinstance(value, type) and issubclass(value, contract)
            if is_class
            else isinstance(value, contract)
        )

    if entry.attribute is not None:
        found = getattr(module, entry.attribute, None)
        if not fits(found):
            what = "derive it from" if is_class else "make it with"
            raise PluginError(
                f"{entry.origin}: {entry.attribute} is not a {contract.__name__}; "
                f"{what} {contract.__module__}.{contract.__name__}"
            )
        return found
    members = [
        value
        for name, value in vars(module).items()
        if fits(value)
        and not name.startswith("_")
        and (not is_class or value.__module__ == module.__name__)
    ]
    if len(members) != 1:
        what = "class" if is_class else "object"
        raise PluginError(
            f"{entry.origin}: holds {len(members)} {entry.kind}s, not one; "
            f"name the {what} in the entry point, as {entry.module}:{what.upper()}"
        )
    return members[0]
