"""One method or dataset that was found, and how it is imported on first use."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from uad_bench.errors import PluginError
from uad_bench.plugins.declarations import Kind, one_line

if TYPE_CHECKING:
    from uad_bench.dataset import Dataset
    from uad_bench.method import Method

Source = Literal["built-in", "entry point", "plugin"]
EntryState = Literal["ready", "broken", "clash"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One method or dataset, found but not imported.

    Attributes:
        kind: what it is; ``None`` where its file cannot be read.
        name: its name on the command line; the file's stem where that cannot be read.
        source: how it was found.
        module: the module that is imported on first use.
        attribute: the class's name in that module; ``None``: the module's only plugin.
        path: its source file, where there is one.
        line: the line of its class in that file, from 1.
        summary: one sentence.
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

    def load(self) -> type[Method] | type[Dataset]:
        """Import the plugin and return its class. A failure is not remembered.

        Raises:
            PluginError: it is broken, does not import, or is not what it was listed as.
        """
        if self.state != "ready":
            raise PluginError(self.reason)
        from uad_bench.dataset import Dataset
        from uad_bench.method import Method

        contract: type = Method if self.kind == "method" else Dataset
        module = _import(self)
        found = _plugin_class(module, self, contract)
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        if missing:
            raise PluginError(
                f"{self.origin}: class {found.__name__} does not define {', '.join(missing)}"
            )
        facts = found if self.kind == "method" else getattr(found, "info", None)
        actual = getattr(facts, "name", None)
        if actual != self.name:
            raise PluginError(f"{self.origin}: listed as {self.name!r}, but its name is {actual!r}")
        return found


def _import(entry: Entry) -> ModuleType:
    """Import an entry's module, or say in one line why that fails, and where."""
    if entry.source == "plugin" and entry.path is not None:
        package = entry.module.rpartition(".")[0]
        parent = sys.modules.setdefault(package, ModuleType(package))
        parent.__path__ = [str(entry.path.parent)]
    importlib.invalidate_caches()
    try:
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


def _plugin_class(module: ModuleType, entry: Entry, contract: type) -> type[Any]:
    """The plugin's class in its module."""
    if entry.attribute is not None:
        found = getattr(module, entry.attribute, None)
        if not isinstance(found, type) or not issubclass(found, contract):
            raise PluginError(
                f"{entry.origin}: {entry.attribute} is not a {contract.__name__}; "
                f"derive it from {contract.__module__}.{contract.__name__}"
            )
        return found
    members = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, contract)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
    if len(members) != 1:
        raise PluginError(
            f"{entry.origin}: holds {len(members)} {entry.kind}s, not one; "
            f"name the class in the entry point, as {entry.module}:CLASS"
        )
    return members[0]
