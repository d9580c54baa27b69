"""Control: SPA with beta = 0, which knows no tissue prior; the difference to SPA is the prior's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from uad_bench.method import Need

from .spa import SPA


class ControlNoPrior(SPA):
    """The same two U-Nets, training and defaults; nothing makes the four maps tissues."""

    class Params(SPA.Params):
        """Hyper-parameters: SPA's, with beta held at 0."""

        beta: float = Field(default=0.0, ge=0.0, le=0.0)

    name: ClassVar[str] = "control-no-prior"
    title: ClassVar[str] = "No prior"
    citation: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset()
    control: ClassVar[bool] = True
    beside = "networks"
    objective: ClassVar[tuple[str, ...]] = ()
    first_trial: ClassVar[Mapping[str, float]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {**values, "beta": 0.0} for name, values in SPA.presets.items()
    }
    params: Params
