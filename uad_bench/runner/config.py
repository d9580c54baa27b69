"""What a run is asked to do: one validated model behind the flags and the YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)

from uad_bench.cells import EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.system.yaml_files import read_yaml
from uad_bench.volumes.recipe import find_recipe

Overwrite = Literal["never", "missing", "failed", "all"]


def _split(value: Any) -> Any:
    """Accept ``a,b`` where a list is meant."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, int | Path) else value


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each item once, so that a seed named twice is not two trainings."""
    return tuple(dict.fromkeys(values))


def _no_switch(value: Any) -> Any:
    """Refuse ``yes`` and ``true``, which Python would count as 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not a switch such as yes, no, true or false")
    return value


_Int = Annotated[int, BeforeValidator(_no_switch)]
_Float = Annotated[float, BeforeValidator(_no_switch)]
_List = (BeforeValidator(_split), AfterValidator(_once))
Names = Annotated[tuple[str, ...], *_List]


def _at_home(path: Path) -> Path:
    """Expand ``~``, which no shell does inside a file."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such home folder") from None


def _texts_at_home(values: dict[str, Any]) -> dict[str, Any]:
    """Expand ``~`` in parameters that name a file."""
    return {
        key: str(_at_home(Path(value)))
        if isinstance(value, str) and value.startswith("~")
        else value
        for key, value in values.items()
    }


UserPath = Annotated[Path, AfterValidator(_at_home)]


class RunConfig(BaseModel):
    """Everything ``uad-bench run`` takes. A YAML key is a flag's name without the dashes.

    Attributes:
        methods: method names.
        datasets: dataset names, ``bids:PATH``, or ``all``.
        data_root: folder that holds the real datasets; without it everything is simulated.
        train: the healthy dataset that detectors learn from; simulated where it is not found.
        controls: control methods that stand in every table; those that their own classes name
            (``MethodInfo.beside``) if not given.
        preset: named set of parameters of each method that has it; ``param`` wins over it.
        param: parameters by ``method.name``.
        protocol: names of evaluation protocols.
        postprocessing: names of post-processings.
        space: the voxels that are scored: those of the template grid, or each scan's own.
        recipe: name of the preparation recipe, or a YAML file of one.
        template: folder of the SRI24 template, where scans are registered to it.
        tissues: where the tissue maps of the training dataset come from: ``atropos``, or a YAML
            file that says where maps lie; the dataset's own if not given.
        lesion_pattern: which files of BIDS datasets are lesion masks though their names do not say
            it: a file pattern, or a YAML file of patterns of lesion masks and FLAIR volumes.
        mask_shift: up to how many mm away a mask's header may place the FLAIR's own voxels; such a
            mask is laid voxel on voxel, and tables say so.
        atlas: folder of the tissue prior of every method that needs one; that of the training
            dataset itself if not given.
        seeds: one training per seed.
        trials: tuning trials per method.
        tune: whether to tune at all.
        phantoms: simulated subjects per patient dataset; the healthy one gets four times as many.
        anatomies: folder of label maps that replace the template in simulated datasets.
        limit: at most this many subjects per dataset and split.
        device: torch device, or ``auto``.
        results: folder for everything the run writes.
        cache: folder for phantoms and prepared datasets, shared between runs.
        jobs: processes for simulation and preparation; as many as there are cores if not given.
        overwrite: which cells are computed again.
        mlflow: whether cells are sent to MLflow.
        plugin: files or folders with further methods, datasets, protocols and post-processings.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
    )

    methods: Names = Field(min_length=1)
    datasets: Names = Field(default=("all",), min_length=1)
    data_root: UserPath | None = None
    train: str = "hi"
    controls: Names | None = None
    preset: str | None = None
    param: Annotated[dict[str, Any], AfterValidator(_texts_at_home)] = Field(default_factory=dict)
    protocol: Names = Field(("strict",), min_length=1)
    postprocessing: Names = Field(("none", "star"), min_length=1)
    space: EvaluationSpace = "template"
    recipe: str = "median"
    template: UserPath | None = None
    tissues: str | None = None
    lesion_pattern: str | None = None
    mask_shift: _Float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    atlas: UserPath | None = None
    seeds: Annotated[tuple[Annotated[_Int, Field(ge=0)], ...], *_List] = Field((0,), min_length=1)
    trials: _Int = Field(default=3, ge=1)
    tune: bool = True
    phantoms: _Int = Field(default=3, ge=1)
    anatomies: UserPath | None = None
    limit: _Int | None = Field(default=None, ge=1)
    device: str = "auto"
    results: UserPath = Path("results")
    cache: UserPath | None = None
    jobs: _Int | None = Field(default=None, ge=1)
    overwrite: Overwrite = "missing"
    mlflow: bool = True
    plugin: Annotated[tuple[UserPath, ...], *_List] = ()

    _file: Path | None = PrivateAttr(default=None)
    _from_file: frozenset[str] = PrivateAttr(default=frozenset())
    _in_python: bool = PrivateAttr(default=False)

    def said(self, key: str, value: object = "") -> str:
        """Return how a message names a setting: the flag, the argument, or the file it is in."""
        text = f"{key} {value}".rstrip()
        whole = f"param {value}" if key == "param" else key
        if whole in self._from_file:
            return f"{self._file}: {text}"
        return text.replace(key, _argument(key), 1) if self._in_python else f"--{text}"


def load_config(
    file: Path | None, flags: Mapping[str, Any], *, in_python: bool = False
) -> RunConfig:
    """Merge a YAML file and the flags that were given; flags win.

    Args:
        file: a YAML mapping whose keys are flag names.
        flags: values by field name; ``None`` means the flag was not given.
        in_python: whether flags are arguments of a Python function, and messages call them so.

    Raises:
        UadBenchError: naming every key or value that does not fit, in one line.
    """
    values = {} if file is None else _read_yaml(file)
    given = {key.replace("_", "-"): value for key, value in flags.items() if value is not None}
    both = {**values, **given}
    from_file = set(values) - set(given)
    if isinstance(values.get("param"), dict):
        flagged = given.get("param", {})
        both["param"] = {**values["param"], **flagged}
        from_file |= {f"param {key}" for key in set(values["param"]) - set(flagged)}
    try:
        config = RunConfig.model_validate(both)
    except ValidationError as error:
        raise UadBenchError(_in_one_line(error, file, from_file, in_python)) from None
    config._file, config._from_file = file, frozenset(from_file)
    config._in_python = in_python
    try:
        find_recipe(config.recipe, config.template)
    except UadBenchError as error:
        if "recipe" not in from_file:
            raise
        raise UadBenchError(f"{file}: {error}") from None
    return config


def _read_yaml(file: Path) -> dict[str, Any]:
    """Return a file's settings by flag name; ``data_root`` is ``data-root``, and both are twice."""
    values: dict[str, Any] = {}
    for written, value in read_yaml(file, "--config", ", such as `methods: spa`").items():
        key = written.replace("_", "-")
        if key in values:
            raise UadBenchError(f"--config {file}: {key} is given twice, once as {written}")
        values[key] = value
    return values


def _argument(key: str) -> str:
    """How Python calls a setting."""
    return key.replace("-", "_")


def _in_one_line(
    error: ValidationError, file: Path | None, from_file: set[str], in_python: bool
) -> str:
    problems = []
    for item in error.errors():
        key = str(item["loc"][0]).replace("_", "-") if item["loc"] else "config"
        flag = _argument(key) if in_python else f"--{key}"
        where = f"{file}: {key}" if key in from_file else flag
        if item["type"] == "extra_forbidden":
            what = "argument" if in_python and key not in from_file else "key"
            known = ", ".join(
                name if in_python else name.replace("_", "-") for name in RunConfig.model_fields
            )
            problems.append(f"{where}: unknown {what}; known: {known}")
        elif item["type"] == "missing":
            example = f'{flag}="spa,gmvae"' if in_python else f"{flag} spa,gmvae"
            problems.append(f"{flag} is needed, such as {example}")
        elif item["type"] == "too_short" or (item["type"], item["input"]) == ("tuple_type", None):
            problems.append(f"{where}: names nothing; give one or several, separated by commas")
        else:
            text = item["msg"].removeprefix("Value error, ")
            problems.append(f"{where}: {text[0].lower()}{text[1:]}")
    return "; ".join(problems)
