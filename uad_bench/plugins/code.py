"""The code of a method, as part of a detector's identity.

What counts is the method's own module, what it imports from its own folder or package, and the
building blocks of ``uad_bench.models`` and ``uad_bench.training`` that these import, and so on.
Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from uad_bench.errors import PluginError

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from uad_bench.method import Method

_BLOCKS = ("uad_bench.methods", "uad_bench.models", "uad_bench.training")
"""The parts of this package that a method may be made of; the engine's own version is recorded."""

_NO_EFFECT = frozenset({"type_comment", "kind", "ctx", "type_ignores"})
"""Fields of the syntax tree that do not change what code does."""


@dataclass(frozen=True, slots=True)
class Code:
    """The code of a method.

    Attributes:
        hash: 16 hexadecimal digits over the statements of every module in it.
        unread: the modules of it whose source cannot be read, so that nobody can tell whether they
            changed.
    """

    hash: str
    unread: tuple[str, ...] = ()


_KNOWN: WeakKeyDictionary[type[Method], Code] = WeakKeyDictionary()
"""The code of each class that was asked for."""


def code_of(method: type[Method]) -> Code:
    """Return what identifies the code of a method, by its sources as they were when first asked.

    A source that is edited later, in the midst of a run, is not what runs in this process. A plugin
    file that was edited is imported again when it is loaded again, as another class.

    Raises:
        PluginError: a source is no Python.
    """
    if (known := _KNOWN.get(method)) is None:
        known = _KNOWN[method] = _read_code(method)
    return known


def _read_code(method: type[Method]) -> Code:
    """Hash the sources of a method as they are now."""
    unread: list[str] = []
    found = {}
    for name, source in _modules(method.__module__):
        if source is None:
            unread.append(name)
        else:
            found[name] = _digest(name, source)
    # The module of a plugin file is named by its folder, which may be moved.
    own = method.__module__.partition(".")[0]
    parts = sorted([name.removeprefix(f"{own}."), digest] for name, digest in found.items())
    whole = json.dumps([method.__qualname__, parts])
    return Code(hashlib.sha256(whole.encode()).hexdigest()[:16], tuple(sorted(unread)))


def modules_of(method: type[Method]) -> tuple[str, ...]:
    """Return the modules that the code of a method is in: its own, and what it is made of."""
    return tuple(name for name, _ in _modules(method.__module__))


def source_of(method: type[Method]) -> str:
    """Return where the class of a method is: the path of a plugin file, else its module."""
    module = sys.modules.get(method.__module__)
    file = getattr(module, "__file__", None)
    is_plugin = method.__module__.startswith("uad_bench_plugin_")
    return file if is_plugin and file is not None else method.__module__


def _modules(start: str) -> Iterator[tuple[str, str | None]]:
    """Yield every module that counts, with its source: the method's own one first."""
    waiting, seen = [start], {start}
    while waiting:
        name = waiting.pop()
        spec = _spec(name)
        source = None if spec is None else _source(spec)
        if spec is None and name != start:
            continue  # not a module, but a name inside of one
        yield name, source
        is_package = spec is not None and spec.submodule_search_locations is not None
        for imported in _imported(name, source or "", is_package=is_package):
            if imported not in seen and _counts(imported, start):
                seen.add(imported)
                waiting.append(imported)


def _counts(name: str, start: str) -> bool:
    """Whether a module is part of the method in module ``start``."""
    top, own = name.partition(".")[0], start.partition(".")[0]
    if top == "uad_bench":
        return any(name == block or name.startswith(f"{block}.") for block in _BLOCKS)
    return top == own


def _spec(name: str) -> ModuleSpec | None:
    """Where a module comes from; ``None`` where there is no such module."""
    module = sys.modules.get(name)
    if module is not None:
        return module.__spec__
    try:
        return importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None


def _source(spec: ModuleSpec) -> str | None:
    """The source of a module as it is now; ``None`` where it cannot be had."""
    read = getattr(spec.loader, "get_source", None)
    try:
        return None if read is None else read(spec.name)
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=512)
def _imported(module: str, source: str, *, is_package: bool) -> tuple[str, ...]:
    """The modules that a source may import, by their full names."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    found: list[str] = []
    for node in ast.walk(_parsed(module, source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            found += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=512)
def _digest(module: str, source: str) -> str:
    """Hash the statements of a source."""
    return hashlib.sha256(json.dumps(_plain(_parsed(module, source))).encode()).hexdigest()


def _parsed(module: str, source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise PluginError(f"module {module}: its source is no Python ({error})") from None


def _plain(value: Any) -> Any:
    """A syntax tree as plain values that do not depend on Python's version.

    A statement that is only a constant does nothing: it is a docstring, or ``...``.
    """
    if isinstance(value, ast.AST):
        fields = [
            [name, _plain(part)]
            for name, part in ast.iter_fields(value)
            if name not in _NO_EFFECT and part is not None and part != []
        ]
        return [type(value).__name__, *(field for field in fields if field[1] != [])]
    if isinstance(value, list):
        return [_plain(part) for part in value if not _is_idle(part)]
    return repr(value)


def _is_idle(node: Any) -> bool:
    """Whether a statement does nothing."""
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )
