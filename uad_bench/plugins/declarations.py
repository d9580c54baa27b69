"""What a plugin file declares, read from its source: nothing is imported to list a plugin."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uad_bench.errors import PluginError

Kind = Literal["method", "dataset", "protocol", "post-processing"]

_CLASSES: dict[str, Kind] = {"MethodInfo": "method", "DatasetInfo": "dataset"}
"""Kinds of which a class states its facts, as ``info``, in an object of this class."""

_OBJECTS: dict[str, Kind] = {"Protocol": "protocol", "PostProcessing": "post-processing"}
"""Kinds of which a module assigns an object of this class to a public name."""

NAME_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""What a plugin may be called on the command line."""

MOST_NAME: dict[Kind, int] = {"method": 64, "dataset": 64, "protocol": 20, "post-processing": 20}
"""Characters that such a name may have: it is a part of every result's file name."""

RESERVED = frozenset({"all"})
"""Names that the command line gives a meaning of their own."""

_SENTENCE_END = re.compile(r"(?<!et al)(?<!e\.g)(?<!i\.e)\.(?=\s+[A-Z(]|$)")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One plugin, as its source declares it.

    Attributes:
        kind: ``method`` or ``dataset`` for a class whose ``info`` is a ``MethodInfo`` or
            ``DatasetInfo``; ``protocol`` and ``post-processing`` for objects of these classes.
        name: its name on the command line.
        attribute: what its module calls it.
        line: line of its statement, from 1.
        summary: one sentence; empty where the source has none.
        beside: of a control, the methods that it stands beside where nobody names controls.
        stands_for: of a control, the method without which it is needed.
    """

    kind: Kind
    name: str
    attribute: str
    line: int
    summary: str
    beside: str = ""
    stands_for: str = ""


def read_declarations(path: Path) -> tuple[Declaration, ...]:
    """Read which plugins the file declares, in order, without running it.

    A plugin is a public top-level class with a base whose ``info`` is a ``MethodInfo`` or a
    ``DatasetInfo`` with a literal name; or a public top-level name that a ``Protocol`` or
    ``PostProcessing`` with a literal name is assigned to.

    Raises:
        PluginError: the file cannot be read or parsed, or a name is not a literal or not allowed.
    """
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise PluginError(f"{path}:{error.lineno or 1}: syntax error: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise PluginError(f"{path}: cannot be read: {one_line(error)}") from error
    declared = (_declared(path, tree, node) for node in tree.body)
    return tuple(found for found in declared if found is not None)


def first_sentence(docstring: str | None) -> str:
    """The first sentence of a docstring on one line; empty where there is none."""
    paragraph = one_line((docstring or "").strip().split("\n\n")[0])
    end = _SENTENCE_END.search(paragraph)
    return paragraph[: end.start()] if end else paragraph


def one_line(text: object) -> str:
    """``text`` with every run of white space as one space."""
    return " ".join(str(text).split())


def name_fault(kind: Kind, name: str) -> str | None:
    """Say what is wrong with a plugin's name, ``None`` where nothing is."""
    most = MOST_NAME[kind]
    if not NAME_PATTERN.fullmatch(name):
        return f"name {name!r} must be lower-case letters, digits and single hyphens"
    if len(name) > most:
        return f"name {name!r} has {len(name)} characters, and {most} are the most: shorten it"
    if name in RESERVED:
        return f"name {name!r} is reserved by the command line"
    return None


def _declared(path: Path, module: ast.Module, node: ast.stmt) -> Declaration | None:
    """The plugin that one statement of a module declares, where it does."""
    if isinstance(node, ast.ClassDef):
        return _class_declaration(path, module, node) if _may_be_plugin(node) else None
    for attribute, value in _assignments([node]).items():
        if isinstance(value, ast.Call) and not attribute.startswith("_"):
            return _object_declaration(path, module, attribute, value)
    return None


def _may_be_plugin(node: ast.ClassDef) -> bool:
    """Whether a class is public and has a base, other than a model of parameters."""
    bases = [ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases]
    is_model = any(base.endswith("Params") or base == "BaseModel" for base in bases)
    return bool(bases) and not is_model and not node.name.startswith("_")


def _assignments(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """The values assigned to plain names in a block, with or without annotation."""
    values: dict[str, ast.expr] = {}
    for node in body:
        if isinstance(node, ast.Assign):
            values.update({t.id: node.value for t in node.targets if isinstance(t, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            values[node.target.id] = node.value
    return values


def _class_declaration(path: Path, module: ast.Module, node: ast.ClassDef) -> Declaration | None:
    """Read one class's name and summary; ``None`` where it declares no info."""
    body, constants = _assignments(node.body), _assignments(module.body)
    if "info" not in body:
        return None
    info = _follow(body["info"], constants)
    kind = _CLASSES.get(_called(info))
    if kind is None:
        return None
    summary = first_sentence(ast.get_docstring(module)) or first_sentence(ast.get_docstring(node))
    name = _text(_argument(info, "name", 0), constants)
    if kind == "dataset":
        summary = _text(_argument(info, "title", 1), constants) or summary
    return Declaration(
        kind,
        _right_name(kind, name, f"{path}:{node.lineno}: class {node.name}"),
        node.name,
        node.lineno,
        one_line(summary),
        beside=_text(_argument(info, "beside"), constants) or "",
        stands_for=_text(_argument(info, "stands_for"), constants) or "",
    )


def _object_declaration(
    path: Path, module: ast.Module, attribute: str, value: ast.Call
) -> Declaration | None:
    """Read the name of a protocol or post-processing; ``None`` for any other object."""
    kind = _OBJECTS.get(_called(value))
    if kind is None:
        return None
    name = _text(_argument(value, "name", 0), _assignments(module.body))
    return Declaration(
        kind,
        _right_name(kind, name, f"{path}:{value.lineno}: {kind} {attribute}"),
        attribute,
        value.lineno,
        one_line(first_sentence(ast.get_docstring(module))),
    )


def _right_name(kind: Kind, name: str | None, where: str) -> str:
    """The name, where it is a literal and allowed."""
    if name is None:
        raise PluginError(f"{where}: write its name as a string literal, so that it can be listed")
    if fault := name_fault(kind, name):
        raise PluginError(f"{where}: {fault}")
    return name


def _called(value: ast.expr) -> str:
    """The name of what is called; empty where nothing is."""
    return ast.unparse(value.func).rsplit(".", 1)[-1] if isinstance(value, ast.Call) else ""


def _argument(call: ast.expr, keyword: str, position: int | None = None) -> ast.expr | None:
    """An argument of a call, by keyword or, where it has one, position."""
    if not isinstance(call, ast.Call):
        return None
    for item in call.keywords:
        if item.arg == keyword:
            return item.value
    if position is None or position >= len(call.args):
        return None
    return call.args[position]


def _follow(value: ast.expr, constants: dict[str, ast.expr]) -> ast.expr:
    """The expression behind a module-level name."""
    return constants.get(value.id, value) if isinstance(value, ast.Name) else value


def _text(value: ast.expr | None, constants: dict[str, ast.expr]) -> str | None:
    """A string literal's text, ``None`` for anything else."""
    if value is None:
        return None
    value = _follow(value, constants)
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return value.value if is_text else None  # type: ignore[attr-defined]
