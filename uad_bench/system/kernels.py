"""Compiled inner loops: kept between runs where the machine has room for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers with numba when it is first called.

    The machine code is kept beside the source, else in the user's cache (``NUMBA_CACHE_DIR`` names
    another folder). Where neither can be written, as in a container, every process compiles anew,
    which takes seconds. The global interpreter lock is released.
    """
    try:
        return cast("Function", numba.njit(function, nogil=True, cache=True))
    except RuntimeError:  # numba/numba#4908: no place for a cache
        return cast("Function", numba.njit(function, nogil=True))
