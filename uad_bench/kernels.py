"""Compiled inner loops: machine code by numba where it is there, the same numbers without it.

A kernel is a function of arrays and numbers. numba is imported, and the kernel compiled, when it is
first called, so that a program that never calls one pays nothing. The machine code is kept beside
the source, else in the user's cache (``NUMBA_CACHE_DIR`` names another folder). Where neither can
be written, as in a container or on a full disk, every process compiles anew.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = {"nogil": True, "error_model": "numpy"}
"""Division by 0 is that of numpy, which lets loops that divide use the processor's vectors."""


class Kernel(Generic[P, R]):
    """A function that is compiled when it is first called. Kernels may call each other.

    The global interpreter lock is released while it runs.
    """

    def __init__(self, loops: Callable[P, R], plain: Callable[P, R]) -> None:
        update_wrapper(self, loops)
        self.loops = loops
        """What is compiled."""
        self.plain = plain
        """The same in numpy, for where nothing can be compiled."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the machine code, or the plain function where nothing can be compiled."""
        return self._callable(*args, **kwargs)

    @cached_property
    def _callable(self) -> Callable[P, R]:
        return self._machine_code if can_compile() else self.plain

    @cached_property
    def _machine_code(self) -> Any:
        """Numba's dispatcher."""
        import numba

        _watch_compilation()
        try:
            made = numba.njit(self.loops, cache=True, **_OPTIONS)
        except RuntimeError:  # numba/numba#4908: no place for a cache
            return numba.njit(self.loops, **_OPTIONS)
        _do_without_files(made._cache)
        return made

    @property
    def _numba_type_(self) -> Any:
        """What numba takes a kernel for that another one calls: the function that it compiles."""
        return self._machine_code._numba_type_


def compiled(function: Callable[P, R]) -> Kernel[P, R]:
    """Make a kernel of loops, which are slow but right where they cannot be compiled."""
    return Kernel(function, function)


def compiled_or(plain: Callable[P, R]) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Make a kernel of loops; ``plain`` gives the same numbers where they cannot be compiled."""
    return lambda loops: Kernel(loops, plain)


_UNUSABLE = (OSError, EOFError, pickle.UnpicklingError)
"""What a file of machine code raises that is damaged, or that cannot be read or written."""


def _do_without_files(files: Any) -> None:
    """Compile where the files of a kernel cannot be used, instead of ending with their error.

    Args:
        files: numba's cache of one function.
    """
    load, save = files.load_overload, files.save_overload

    def load_or_compile(*given: Any) -> Any:
        try:
            return load(*given)
        except _UNUSABLE:
            return None

    def save_if_possible(*given: Any) -> None:
        try:
            save(*given)
        except _UNUSABLE:
            # It is written first, and may name a file with the machine code of other loops.
            with suppress(OSError):
                Path(files._cache_file._index_path).unlink()

    files.load_overload, files.save_overload = load_or_compile, save_if_possible


@cache
def can_compile() -> bool:
    """Whether numba is installed and allowed to compile (``NUMBA_DISABLE_JIT``)."""
    try:
        from numba import config
    except ImportError:
        return False
    return not config.DISABLE_JIT


@cache
def _watch_compilation() -> None:
    """Say when a kernel is compiled, not read from the cache, and let Ctrl-C wait for its end.

    LLVM calls back into Python, where an exception would be told and then forgotten.
    """
    from numba.core import event

    from uad_bench.system.signals import interrupts_noted

    class Watch(event.Listener):  # type: ignore[misc]
        """Kernels that call others are compiled within each other."""

        depth = 0

        def on_start(self, event: Any) -> None:  # noqa: ARG002
            if not self.depth:
                _announce()
                self.noted = interrupts_noted()
                self.noted.__enter__()
            self.depth += 1

        def on_end(self, event: Any) -> None:  # noqa: ARG002
            self.depth -= 1
            if not self.depth:
                self.noted.__exit__(None, None, None)

    event.register("numba:compile", Watch())


@cache
def _announce() -> None:
    """Say once per process why nothing else is said for some seconds."""
    if sys.stderr is not None:
        sys.stderr.write("Compiling inner loops, once on this machine: some seconds ...\n")
