"""The preparation recipe: every choice between a NIfTI file and a slice, and its hash."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from uad_bench.cells import short_hash
from uad_bench.errors import UadBenchError
from uad_bench.system.yaml_files import read_yaml

StripTool = Literal["hd-bet", "robex"]
"""HD-BET (Isensee et al., Hum Brain Mapp 40, 2019), or ROBEX 1.2, the paper's (Iglesias et al.,
IEEE Trans Med Imaging 30, 2011)."""

RegistrationKind = Literal["affine", "affine-fast"]
"""ANTs' affine registrations: the thorough and the fast one."""

SIZE = 128
"""Height and width of a slice in pixels, if a recipe says no other."""

_LEAST_PIXEL_MM = 1.45
"""Pixels of this size cover the brain, if there are 128."""


class Recipe(BaseModel):
    """How a scan becomes slices. Two stores of different recipes are never mixed.

    Attributes:
        name: what tables call it.
        strip: the tool that finds the brain where a scan has its skull and no brain mask is given.
        n4: whether the bias field is corrected (N4), for every scan.
        registration: how a scan that lies in no template space is brought to the template.
        template: what it is registered to; ``sri24`` is brought on to MNI152 by a fixed affine.
        pixel_mm: in-plane pixel size in mm; the pixels of a side must cover the brain.
        size: pixels of a slice's side. Fewer take less time where pixels are large, because what is
            left out is background.
        slice_mm: distance between axial slices in mm.
        normalisation: ``median`` maps the median of the brain's shortest half to ``anchor`` and
            the percentile ``low`` to 0 and clips at 1; ``percentile`` maps the percentiles ``low``
            and ``high`` of the brain to 0 and 1 and clips.
        anchor: where ``median`` puts that median.
        low: lower percentile.
        high: upper percentile of ``percentile``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "median"
    strip: StripTool = "hd-bet"
    n4: bool = False
    registration: RegistrationKind = "affine-fast"
    template: Literal["mni152", "sri24"] = "mni152"
    pixel_mm: float = Field(default=1.5, ge=_LEAST_PIXEL_MM, le=4.0)
    size: int = Field(default=SIZE, ge=64, le=SIZE, multiple_of=32)
    slice_mm: float = Field(default=2.0, ge=0.5, le=10.0)
    normalisation: Literal["median", "percentile"] = "median"
    anchor: float = Field(default=0.55, gt=0.0, lt=1.0)
    low: float = Field(default=1.0, ge=0.0, lt=50.0)
    high: float = Field(default=99.0, gt=50.0, le=100.0)

    @model_validator(mode="after")
    def _covers_the_brain(self) -> Self:
        if self.size * self.pixel_mm < SIZE * _LEAST_PIXEL_MM:
            raise ValueError(
                f"size {self.size} of {self.pixel_mm:g} mm does not cover the brain: "
                f"{SIZE * _LEAST_PIXEL_MM:g} mm do"
            )
        return self

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits over every field but the name, and but for the usual size."""
        usual = {"size"} if self.size == SIZE else set()
        return short_hash(self.model_dump(exclude={"name"} | usual))


RECIPES = {
    "median": Recipe(),
    "paper": Recipe(
        name="paper",
        strip="robex",
        registration="affine",
        pixel_mm=1.875,
        slice_mm=1.0,
        normalisation="percentile",
    ),
}
"""The built-in recipes by name: the median-anchored default and the paper's percentiles."""


def find_recipe(name: str, template: Path | None = None) -> Recipe:
    """Return a built-in recipe, or the one in a YAML file of its fields.

    What the file leaves out is as in ``median``; its name is the file's.

    Args:
        name: a key of ``RECIPES``, or the path of a ``.yaml`` file.
        template: the folder of SRI24, where scans are registered to it.

    Raises:
        UadBenchError: an unknown name, or a file that is no recipe; one line for all that is wrong.
    """
    if name in RECIPES:
        recipe = RECIPES[name]
    elif Path(name).suffix in {".yaml", ".yml"}:
        recipe = _read_recipe(Path(name).expanduser())
    else:
        raise UadBenchError(
            f"--recipe {name}: unknown; available: {', '.join(RECIPES)}, or a .yaml file"
        )
    if recipe.template == "sri24" and template is None:
        raise UadBenchError(f"--recipe {name}: registers to SRI24; say where it is with --template")
    return recipe if template is None else recipe.model_copy(update={"template": "sri24"})


def _read_recipe(file: Path) -> Recipe:
    values = read_yaml(file, "--recipe", ", such as `n4: true`")
    if values.get("name", file.stem) in RECIPES:
        raise UadBenchError(
            f"--recipe {file}: {values.get('name', file.stem)} is a built-in recipe's name; "
            "rename the file or give it another `name:`"
        )
    try:
        return Recipe.model_validate({"name": file.stem, **values})
    except ValidationError as error:
        known = ", ".join(Recipe.model_fields)
        problems = [
            f"{item['loc'][0]}: unknown key; known: {known}"
            if item["type"] == "extra_forbidden"
            else f"{item['loc'][0] if item['loc'] else 'recipe'}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        raise UadBenchError(f"--recipe {file}: {'; '.join(problems)}") from None
