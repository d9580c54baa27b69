"""What the study compares, from ``arms.yaml``: every arm is a method with parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict


class _Stated(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Size(_Stated):
    """How large the study is."""

    width: int  # filters of the first block
    slices: int  # training slices that each detector sees, repeats counted
    batch_size: int
    learning_rate: float | None = None  # at the start; `None` for the method's own
    patients: int = 2  # simulated ones, per dataset
    healthy: int = 40  # simulated people, a multiple of four


class Arm(_Stated):
    """One way to detect."""

    name: str  # unique; also a file's name
    label: str  # what tables call it
    method: str = ""  # the name up to its first dash if not given
    params: Mapping[str, Any] = {}  # what differs from the method's defaults and from `PLAIN`
    group: Literal["main", "ablation", "control", "detector"] = "main"
    longer: int = 1  # how many times the study's slices it sees; 0 for what is no network
    kept: bool = True  # whether it can be measured again

    def model_post_init(self, _: Any, /) -> None:
        """Fill in the method."""
        object.__setattr__(self, "method", self.method or self.name.partition("-")[0])

    @property
    def mark(self) -> str:
        """The post-processing that tables take: a new detector's score is taken as it is."""
        return "" if self.group == "detector" else "*"

    @property
    def base(self) -> Arm | None:
        """The arm that it is a variant of: the longest name that its own goes on from.

        Detectors vary only detectors.
        """
        bases = [
            one
            for one in ARMS
            if self.name.startswith(f"{one.name}-")
            and (self.group != "detector" or one.group == "detector")
        ]
        return max(bases, key=lambda one: len(one.name), default=None)

    def parameters(self, size: Size) -> dict[str, Any]:
        """Return the parameters of its method at a size of the study."""
        if not self.longer:
            return dict(self.params)
        sized = size.model_dump(include={"width", "batch_size", "learning_rate"}, exclude_none=True)
        steps = self.longer * size.slices // size.batch_size
        return {**sized, "steps": steps, **PLAIN.get(self.method, {}), **self.params}


_STATED = yaml.safe_load(Path(__file__).with_name("arms.yaml").read_text(encoding="utf-8"))

SIZES: Mapping[str, Size] = {name: Size(**size) for name, size in _STATED["sizes"].items()}
PLAIN: Mapping[str, Mapping[str, Any]] = _STATED["plain"]
ARMS: tuple[Arm, ...] = (
    *(Arm(**arm, longer=0) for arm in _STATED["fixed"]),
    *(Arm(**arm) for arm in _STATED["networks"]),
)
BY_NAME: Mapping[str, Arm] = {arm.name: arm for arm in ARMS}
DETECTORS = tuple(arm for arm in ARMS if arm.group == "detector" and arm.base is None)
"""The new detectors: arms of that group that vary no other one."""


def short(arm: str, mark: str = "") -> str:
    """What sentences call an arm under a post-processing."""
    return f"{BY_NAME[arm].label.removesuffix(', raw')}{mark}"
