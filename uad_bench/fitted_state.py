"""What ``fit`` left in a method, as arrays, and back.

The arrays hold numbers; one of them, ``structure``, is JSON that says how they belong together.
Neither is code: a dataclass is looked up in the annotation of its attribute, and a torch module is
set by the method's own ``build`` before its weights are filled in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError

if TYPE_CHECKING:
    from torch import nn

_STRUCTURE = "structure"
_PLAIN = (type(None), bool, int, float, str)


class Named(Protocol):
    """Facts about a method, as far as a message needs them."""

    @property
    def name(self) -> str:
        """What the command line calls it."""


class Fitted(Protocol):
    """What is stored: the attributes of a method that end in an underscore."""

    @property
    def info(self) -> Named:
        """What the method is."""

    def build(self) -> None:
        """Set the untrained torch modules."""


def pack(method: Fitted) -> dict[str, NDArray[Any]]:
    """Return the attributes of a method that end in an underscore, as arrays.

    Raises:
        UadBenchError: naming an attribute that cannot be stored.
    """
    arrays: dict[str, NDArray[Any]] = {}
    structure = {
        name: _packed(value, name, _Classes(type(method), name), arrays)
        for name, value in vars(method).items()
        if name.endswith("_")
    }
    text = json.dumps(structure, separators=(",", ":")).encode()
    return {_STRUCTURE: np.frombuffer(text, np.uint8), **arrays}


def unpack(method: Fitted, arrays: Mapping[str, NDArray[Any]], device: str) -> None:
    """Restore the attributes of a method; torch modules are left in evaluation mode.

    Args:
        method: a fresh instance.
        arrays: what :func:`pack` returned.
        device: where torch modules are put.

    Raises:
        UadBenchError: if the arrays are not those of this method.
    """
    modules = []
    try:
        for name, node in json.loads(arrays[_STRUCTURE].tobytes()).items():
            if isinstance(node, dict) and "module" in node:
                modules.append(name)
            else:
                setattr(method, name, _unpacked(node, _Classes(type(method), name), arrays))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UadBenchError(
            f"{method.info.name}: the stored state is damaged, or of another version of the method "
            f"({type(error).__name__}: {error}); train it again"
        ) from error
    if modules:
        _build(method)
    for name in modules:
        _fill(method, name, arrays, device)


def _build(method: Fitted) -> None:
    """Set the untrained modules, without a trace in torch's global random state."""
    import torch

    with torch.random.fork_rng(devices=[]):
        method.build()


def _fill(method: Fitted, name: str, arrays: Mapping[str, NDArray[Any]], device: str) -> None:
    """Put the stored weights into the module that ``build`` set."""
    import torch

    module = getattr(method, name, None)
    if not isinstance(module, torch.nn.Module):
        raise UadBenchError(
            f"{method.info.name}: {name} is a torch module, and build() must set it"
        )
    start = f"{name}."
    weights = {
        key.removeprefix(start): torch.tensor(array)
        for key, array in arrays.items()
        if key.startswith(start)
    }
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        what = " ".join(str(error).split())
        raise UadBenchError(
            f"{method.info.name}: the stored weights of {name} are not those of the module that "
            f"build() sets: {what}"
        ) from error
    module.to(device).eval()


class _Classes:
    """The dataclasses that an attribute may hold: those that its annotation names."""

    def __init__(self, owner: type, attribute: str) -> None:
        self._owner, self._attribute = owner, attribute

    def find(self, name: str) -> type:
        """Return a dataclass by its name, or say how to name it."""
        found: dict[str, type] = {}
        try:
            _gather(get_type_hints(self._owner).get(self._attribute), found)
        except NameError as error:
            raise UadBenchError(
                f"{self._owner.__name__}: its annotations cannot be read ({error}); import what "
                "they name outside of TYPE_CHECKING"
            ) from error
        if name not in found:
            raise UadBenchError(
                f"{self._owner.__name__}.{self._attribute} holds a {name}; say so in the class, "
                f"as `{self._attribute}: {name}`, so that it can be restored"
            )
        return found[name]


def _gather(hint: Any, found: dict[str, type]) -> None:
    """Collect the dataclasses that a type names, and those that their fields name."""
    if isinstance(hint, type) and is_dataclass(hint) and hint.__qualname__ not in found:
        found[hint.__qualname__] = hint
        for inner in get_type_hints(hint).values():
            _gather(inner, found)
    for inner in get_args(hint):
        _gather(inner, found)


def _packed(value: Any, path: str, classes: _Classes, arrays: dict[str, NDArray[Any]]) -> Any:
    """The place of a value in the structure; what is an array goes into ``arrays``."""

    def inside(items: Iterable[Any]) -> list[Any]:
        return [_packed(item, f"{path}.{i}", classes, arrays) for i, item in enumerate(items)]

    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        arrays[path] = np.array(value, order="C")
        return {"array" if isinstance(value, np.ndarray) else "number": path}
    if type(value) in (tuple, list):
        return {type(value).__name__: inside(value)}
    if type(value) is dict and all(type(key) in _PLAIN for key in value):
        return {"dict": [list(pair) for pair in zip(value, inside(value.values()), strict=True)]}
    if _is_frozen(value):
        name = type(value).__qualname__
        classes.find(name)
        names = [field.name for field in fields(value) if field.init]
        parts = inside(getattr(value, each) for each in names)
        return {"dataclass": [name, dict(zip(names, parts, strict=True))]}
    if _is_module(value) and "." not in path:
        for name, tensor in value.state_dict().items():
            arrays[f"{path}.{name}"] = np.array(tensor.cpu().numpy(), order="C")
        return {"module": path}
    raise UadBenchError(
        f"{path.partition('.')[0]} holds a value of type {type(value).__name__}, which cannot be "
        "stored: keep arrays of numbers or booleans, numbers, booleans, text, frozen dataclasses "
        "of these, or tuples, lists and dictionaries of these; and each torch module in an "
        "attribute of its own"
    )


def _unpacked(node: Any, classes: _Classes, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The value at a place of the structure."""
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "array":
        return arrays[content]
    if kind == "number":
        return arrays[content][()]
    if kind == "dataclass":
        name, parts = content
        values = {each: _unpacked(part, classes, arrays) for each, part in parts.items()}
        return classes.find(name)(**values)
    if kind == "dict":
        return {key: _unpacked(part, classes, arrays) for key, part in content}
    items = [_unpacked(part, classes, arrays) for part in content]
    return tuple(items) if kind == "tuple" else items


def _is_frozen(value: object) -> bool:
    """Whether a value is a frozen dataclass."""
    settings = getattr(type(value), "__dataclass_params__", None)
    return settings is not None and settings.frozen


def _is_module(value: object) -> TypeGuard[nn.Module]:
    """Whether a value is a torch module; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)
