"""What a sweep will do: its method, the values of one parameter, and the data, checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.method import Method, Params, ReconstructionMethod, SearchRange, search_space
from uad_bench.plugins.registry import Registry
from uad_bench.report.figures.sweep import Value, shown
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.readiness import lonely, noted, refuse, unfit_data, unwritable
from uad_bench.runner.data.source import Source
from uad_bench.runner.data.sources import Sources, find_training, refuse_useless_pattern
from uad_bench.runner.detectors.params import given_params, unknown_parameter
from uad_bench.runner.place import device_of, unfit_place
from uad_bench.runner.plan.job import CheckData, Job, Measure, Train, in_order
from uad_bench.runner.plan.make import planned_atlas
from uad_bench.tuning.grid import points
from uad_bench.volumes.store.atlas import Atlas

LOG_RATIO = 30
"""Given values that differ by more than this factor stand on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Everything a sweep will do, checked.

    Attributes:
        config: the run that the trainings are part of.
        method: the method.
        param: the swept parameter.
        values: its values, numbers in ascending order, and the parameters to train with.
        log: whether the values belong on a logarithmic axis.
        training: the training dataset.
        atlas: the tissue prior, instead of the training dataset's.
    """

    config: RunConfig
    method: type[Method]
    param: str
    values: Mapping[Value, Params]
    log: bool
    training: Source
    atlas: Atlas | None

    def jobs(self) -> tuple[Job, ...]:
        """Every job: a detector is measured as soon as it is trained."""
        trained = ((self.method, "", params) for params in self.values.values())
        data = CheckData.of(Sources(self.training, (), ()), trained)
        return in_order(
            Measure(data, Train(self.method, params, seed, data, place=self._place(value, seed)))
            for value, params in self.values.items()
            for seed in self.config.seeds
        )

    def _place(self, value: Value, seed: int) -> str:
        return f"{self.param} {shown(value)}, seed {seed}"

    def value_of(self, job: Measure) -> Value:
        """The value of the swept parameter that a job measures."""
        value: Value = getattr(job.train.params, self.param)
        return value


def plan_sweep(
    config: RunConfig,
    param: str,
    values: Sequence[Any] | None,
    registry: Registry,
) -> SweepPlan:
    """Check a sweep before any work.

    Args:
        config: names the method, and holds the other parameters as ``method.name``.
        param: the parameter to sweep.
        values: its values; from its search range, or all of a switch or a choice, if not given.
        registry: the methods and datasets.

    Raises:
        UadBenchError: naming a method, parameter, value, preset, dataset, atlas and device that
            cannot be used.
    """
    problems: list[str] = []
    device, swept, training, atlas = None, None, None, None
    with noted(problems):
        device = device_of(config)
    with noted(problems):
        swept = _swept(config, param, values, registry, device)
    with noted(problems):
        atlas = planned_atlas(config)
    with noted(problems):
        training = find_training(config, registry)
        refuse_useless_pattern(config.lesion_pattern, (training,))
        problems += unfit_data(config, Sources(training, (), ()))
        problems += lonely(config, training, () if swept is None else (swept[0],))
    problems += unwritable(config.said("results"), config.results)
    problems += unfit_place(config)
    refuse(problems)
    assert swept is not None
    assert training is not None
    method, chosen = swept
    log = _is_log(search_space(method.Params).get(param), list(chosen))
    return SweepPlan(config, method, param, chosen, log, training, atlas)


def _swept(
    config: RunConfig,
    param: str,
    values: Sequence[Any] | None,
    registry: Registry,
    device: str | None,
) -> tuple[type[Method], Mapping[Value, Params]]:
    """The method of a sweep, and its parameters by the value that is swept."""
    method = _suited(registry.method(config.methods[0]), config, device)
    choices = _choices(method, param)
    refuse(_useless_params(method, config, param))
    if values is None:
        values = choices or _whole_range(method, config, param)
    return method, _validated(method, config, param, values)


def _suited(method: type[Method], config: RunConfig, device: str | None) -> type[Method]:
    """Refuse a method that there is nothing to sweep of, or whose needs are not met."""
    name = method.info.name
    if not method.info.trains:
        raise UadBenchError(f"{name} learns nothing, and a sweep trains: sweep one that does")
    if not issubclass(method, ReconstructionMethod):
        raise UadBenchError(
            f"{name} makes no reconstruction, and a sweep measures reconstructions: sweep a "
            "method that makes one"
        )
    if method.info.supervised:
        raise UadBenchError(f"{name} needs lesion masks, and a sweep sees healthy people only")
    if config.supervised_on:
        words = ",".join(config.supervised_on)
        raise UadBenchError(
            f"{config.said('supervised-on', words)}: {name} learns from no lesion masks; leave it "
            "out"
        )
    if "gpu" in method.info.needs and device == "cpu":
        raise UadBenchError(
            f"{name} needs a GPU, and this sweep is on the CPU ({config.said('device')})"
        )
    if config.preset is not None and config.preset not in method.info.presets:
        known = ", ".join(method.info.presets) or "none"
        raise UadBenchError(f"{config.said('preset', config.preset)}: unknown; {name} has: {known}")
    return method


def _useless_params(method: type[Method], config: RunConfig, swept: str) -> Iterator[str]:
    """Say which given parameters are another method's, or the swept one."""
    for key in config.param:
        name, _, param = key.partition(".")
        if name != method.info.name:
            yield f"{config.said('param', key)}: its method is not part of this sweep"
        elif param == swept:
            yield (
                f"{config.said('param', key)}: it is what is swept; give its values as "
                f"{config.said('values')}"
            )


def _choices(method: type[Method], param: str) -> tuple[Value, ...]:
    """All values of a switch or a choice; nothing for a number.

    Raises:
        UadBenchError: the method has no such parameter, or it is none of the three.
    """
    info = method.Params.model_fields.get(param)
    if info is None:
        raise UadBenchError(f"{method.info.name}.{param}: {unknown_parameter(method, param)}")
    kinds = _alternatives(info.annotation)
    if all(get_origin(kind) is Literal for kind in kinds):
        return tuple(value for kind in kinds for value in get_args(kind))
    if kinds == (bool,):
        return (False, True)
    if set(kinds) <= {int, float}:
        return ()
    raise UadBenchError(
        f"{method.info.name}.{param}: neither a number nor a switch nor a choice; sweep one that is"
    )


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types that an annotation allows, besides ``None``."""
    if get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    return tuple(kind for kind in get_args(annotation) if kind is not NoneType)


def _whole_range(method: type[Method], config: RunConfig, param: str) -> tuple[Value, ...]:
    """The values of a number that is swept over its search range."""
    span = search_space(method.Params).get(param)
    if span is None:
        raise UadBenchError(
            f"{method.info.name}.{param}: it declares no search range; give some, such as "
            f"{config.said('values', '1,2,3')}"
        )
    whole = _alternatives(method.Params.model_fields[param].annotation) == (int,)
    return points(span, whole=whole)


def _validated(
    method: type[Method], config: RunConfig, param: str, values: Iterable[Any]
) -> dict[Value, Params]:
    """The parameters of every value, by the value as the method understands it.

    Raises:
        UadBenchError: naming each parameter, value and file that does not fit.
    """
    given = given_params(config.param, method)
    base = {**method.info.presets.get(config.preset or "", {}), **given}
    found: dict[Value, Params] = {}
    problems: dict[str, None] = {}
    for value in values:
        try:
            params = method.resolve(method.Params.model_validate({**base, param: value}))
        except ValidationError as error:
            for item in error.errors():
                name = str(item["loc"][0]) if item["loc"] else ""
                of_others = name not in (param, "")
                said = config.said("param", f"{method.info.name}.{name}")
                flag = said if of_others else config.said("values", value)
                message = item["msg"]
                if item["type"] == "extra_forbidden":
                    message = unknown_parameter(method, name)
                problems[f"{flag}: {message}"] = None
            continue
        except UadBenchError as error:
            problems[str(error)] = None
            continue
        found[getattr(params, param)] = params
    if problems:
        raise UadBenchError("; ".join(problems))
    if not found:
        raise UadBenchError(
            f"{config.said('values')}: names nothing; give one or several, separated by commas"
        )
    if None in found:
        raise UadBenchError(
            f"{config.said('values')}: {param} cannot be swept without a value; leave null out"
        )
    if any(isinstance(value, str) for value in found):
        return found
    return dict(sorted(found.items()))


def _is_log(span: SearchRange | None, values: list[Value]) -> bool:
    """Whether values span so much, or are searched so, that equal factors are equal steps."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    positive = [number for number in numbers if number > 0]
    if len(numbers) < len(values) or not positive or min(numbers) < 0:
        return False
    return (span is not None and span.log) or max(positive) / min(positive) >= LOG_RATIO
