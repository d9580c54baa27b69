"""What a run is asked to do: one validated model behind the flags and the YAML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError

from uad_bench.cells import short_hash
from uad_bench.errors import UadBenchError
from uad_bench.runner.settings import (
    ComparisonSettings,
    DatasetSettings,
    DataSettings,
    MethodSettings,
    TrainingSettings,
    TuningSettings,
    WhereSettings,
)
from uad_bench.system.yaml_files import read_yaml
from uad_bench.volumes.recipe import find_recipe


# pydantic orders fields from the last base to the first.
class RunConfig(
    WhereSettings,
    ComparisonSettings,
    TuningSettings,
    TrainingSettings,
    DataSettings,
    DatasetSettings,
    MethodSettings,
):
    """Everything ``uad-bench run`` takes. A YAML key is a flag's name without the dashes."""

    _file: Path | None = PrivateAttr(default=None)
    _from_file: frozenset[str] = PrivateAttr(default=frozenset())
    _in_python: bool = PrivateAttr(default=False)

    def said(self, key: str, value: object = "") -> str:
        """Return how a message names a setting: the flag, the argument, or the file it is in."""
        text = f"{key} {value}".rstrip()
        whole = f"param {value}" if key == "param" else key
        if whole in self._from_file:
            return f"{self._file}: {text}"
        return text.replace(key, _spelled(key, self._in_python), 1)

    @property
    def repeatable(self) -> dict[str, Any]:
        """The settings that numbers follow from, as JSON: all but where the run is done."""
        values = self.model_dump(exclude={*WhereSettings.model_fields, "storage"})
        return dict(json.loads(json.dumps(values, default=str)))

    @property
    def run_name(self) -> str:
        """What a results folder calls a run with these settings."""
        return short_hash(self.repeatable)

    def one_dataset(self) -> str:
        """Return the dataset of a command that works on one.

        Raises:
            UadBenchError: several were named, or none.
        """
        if len(self.datasets) > 1 or self.datasets == ("all",):
            words = ",".join(self.datasets) if "datasets" in self.model_fields_set else ""
            named = self.said("datasets", words)
            raise UadBenchError(f"{named}: name one dataset at a time, as NAME or NAME:PATH")
        return self.datasets[0]


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
    values = {} if file is None else _read_yaml(file, _spelled("config", in_python))
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


def load_settings(flags: Mapping[str, Any], *, in_python: bool = False) -> RunConfig:
    """Return the settings of a command that is about no method; raises as :func:`load_config`."""
    return load_config(None, {**flags, "methods": "none"}, in_python=in_python)


def _read_yaml(file: Path, said: str) -> dict[str, Any]:
    """Return a file's settings by flag name; ``data_root`` is ``data-root``, and both are twice."""
    values: dict[str, Any] = {}
    for written, value in read_yaml(file, said, ", such as `methods: spa`").items():
        key = written.replace("_", "-")
        if key in values:
            raise UadBenchError(f"{said} {file}: {key} is given twice, once as {written}")
        values[key] = value
    return values


def _spelled(key: str, in_python: bool) -> str:
    """What Python calls a setting, or the command line."""
    return key.replace("-", "_") if in_python else f"--{key}"


def _in_one_line(
    error: ValidationError, file: Path | None, from_file: set[str], in_python: bool
) -> str:
    problems = []
    found = error.errors()
    # A list of which no item fits is too short as well.
    of_items = {item["loc"][0] for item in found if len(item["loc"]) > 1}
    for item in found:
        key = str(item["loc"][0]).replace("_", "-") if item["loc"] else "config"
        flag = _spelled(key, in_python)
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
        elif item["type"] == "too_short" and item["loc"][0] in of_items:
            continue
        elif item["type"] == "too_short" or (item["type"], item["input"]) == ("tuple_type", None):
            problems.append(f"{where}: names nothing; give one or several, separated by commas")
        else:
            text = item["msg"].removeprefix("Value error, ")
            is_item = len(item["loc"]) > 1 and isinstance(item["input"], str)
            where += f" {item['input']}" if is_item else ""
            problems.append(f"{where}: {text[0].lower()}{text[1:]}")
    return "; ".join(dict.fromkeys(problems))
