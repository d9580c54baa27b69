"""Control: SPA with beta = 0, which knows no tissue prior; the difference to SPA is the prior's."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from uad_bench.method import MethodInfo

from .spa import SPA


class ControlNoPrior(SPA):
    """The same two U-Nets, training and defaults; nothing makes the four maps tissues."""

    class Params(SPA.Params):
        """Hyper-parameters: SPA's, with beta held at 0."""

        beta: float = Field(default=0.0, ge=0.0, le=0.0)

    info = MethodInfo(
        name="control-no-prior",
        title="No prior",
        control=True,
        beside="networks",
        presets={name: {**values, "beta": 0.0} for name, values in SPA.info.presets.items()},
    )
    objective: ClassVar[tuple[str, ...]] = ()
    params: Params
