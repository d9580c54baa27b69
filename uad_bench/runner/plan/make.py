"""Make the plan of a run, and refuse what cannot be, all conflicts at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol
from uad_bench.method import Method, member_faults, member_field, members_of
from uad_bench.plugins.code import code_of
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.readiness import (
    fallback_note,
    lonely,
    noted,
    refuse,
    stated_tissues,
    unfit_data,
    unwritable,
)
from uad_bench.runner.data.sources import (
    Sources,
    find_sources,
    find_supervised,
    find_training,
    finder,
    refuse_useless_pattern,
)
from uad_bench.runner.detectors.params import given_params, merged, one_by_one, tunable, validated
from uad_bench.runner.place import device_of, place_notes, unfit_place
from uad_bench.runner.plan.controls import default_controls, followed
from uad_bench.runner.plan.plan import Plan, PlannedMethod
from uad_bench.runner.plan.tuning import tuning_faults
from uad_bench.volumes.recipe import find_recipe
from uad_bench.volumes.store.atlas import Atlas, open_atlas, refuse_other_grid
from uad_bench.volumes.store.tissue_prior import MIN_SUBJECTS


def make_plan(config: RunConfig, registry: Registry) -> Plan:
    """Resolve names and parameters, and refuse what cannot be, all conflicts at once.

    Raises:
        UadBenchError: naming every unknown name, wrong parameter, missing file and unmet need, a
            device that is not there, and an atlas that is unfit or of no use.
    """
    problems: list[str] = []
    device: str | None = None
    with noted(problems):
        device = device_of(config)
    methods: list[PlannedMethod] = []
    settable: set[str] = set()
    lacking: dict[str, list[str]] = {}
    for name in config.methods:
        with noted(problems):
            method = registry.method(name)
            settable |= set(_settable(method))
            methods += _planned(method, config, {}, lacking)
    beside = [
        (planned.method, planned.params)
        for planned in methods
        if not planned.method.info.supervised
    ]
    controls = config.controls
    if controls is None:
        controls = default_controls(registry, [planned.method for planned in methods])
    names = dict.fromkeys((*config.methods, *controls))
    for name in list(names)[len(config.methods) :]:
        with noted(problems):
            control = registry.method(name)
            settable.add(name)
            taken_over = followed(control, beside, config.param)
            methods += _planned(control, config, taken_over, lacking)
    problems += _lacked(lacking)
    for planned in methods:
        problems += _unmet(planned.method, config, device)
    problems += tuning_faults(config, [one.method for one in methods if one.tuned])
    if len(methods) == len(names):
        problems += _unused(config, methods)
    problems += _of_nobody(config, settable, names)
    protocols: list[Protocol] = []
    for name in config.protocol:
        with noted(problems):
            protocols.append(registry.protocol(name))
    postprocessings, atlas = _given(config, registry, problems)
    sources = None
    with noted(problems):
        sources = find_sources(config, registry)
        problems += unfit_data(config, sources)
        problems += lonely(config, sources.training, [one.method for one in methods])
    refuse(problems)
    assert sources is not None
    notes = (*place_notes(config), *_notes(config, methods, sources, atlas))
    return Plan(
        _supervised(methods, sources),
        tuple(protocols),
        postprocessings,
        sources,
        config,
        atlas,
        notes,
    )


def _supervised(methods: Iterable[PlannedMethod], sources: Sources) -> tuple[PlannedMethod, ...]:
    """Plan a supervised method once for each dataset that it learns from."""
    return tuple(
        replace(planned, supervised_on=on)
        for planned in methods
        for on in (
            [source.label for source in sources.supervised]
            if planned.method.info.supervised
            else [""]
        )
    )


def plan_training(config: RunConfig, registry: Registry) -> Plan:
    """Plan to train the methods of a run on its training data, and evaluate them nowhere.

    There are no controls, and one seed: the first.

    Raises:
        UadBenchError: naming all that cannot be.
    """
    problems: list[str] = []
    device: str | None = None
    with noted(problems):
        device = device_of(config)
    methods: list[PlannedMethod] = []
    lacking: dict[str, list[str]] = {}
    settable: set[str] = set()
    for name in config.methods:
        with noted(problems):
            method = registry.method(name)
            settable |= set(_settable(method))
            for planned in _planned(method, config, {}, lacking):
                methods.append(replace(planned, seeds=planned.seeds[:1]))
                problems += _unmet(planned.method, config, device)
    if len(methods) == len(config.methods):
        problems += _unused(config, methods)
    problems += _of_nobody(config, settable, config.methods)
    problems += tuning_faults(config, [one.method for one in methods if one.tuned])
    problems += _lacked(lacking)
    postprocessings, atlas = _given(config, registry, problems)
    sources = None
    with noted(problems):
        find = finder(config, registry)
        training = find_training(config, registry, find)
        sources = Sources(training, (), (), *find_supervised(config, registry, problems, find))
        refuse_useless_pattern(config.lesion_pattern, (training, *sources.supervised))
        if len(sources.supervised) > 1:
            problems.append(
                f"{config.said('supervised-on', ','.join(config.supervised_on))}: one detector "
                "learns from one dataset; name one"
            )
        problems += unfit_data(config, sources)
        problems += lonely(config, training, [one.method for one in methods])
    refuse(problems)
    assert sources is not None
    notes = tuple(_notes(config, methods, sources, atlas))
    planned_methods = _supervised(methods, sources)
    return Plan(planned_methods, (), postprocessings, sources, config, atlas, notes)


def _given(
    config: RunConfig, registry: Registry, problems: list[str]
) -> tuple[tuple[PostProcessing, ...], Atlas | None]:
    """The post-processings and the atlas of a run.

    Args:
        config: the run.
        registry: the post-processings.
        problems: grows by what is wrong with those, with the results folder, and with where jobs
            are to run.
    """
    postprocessings: tuple[PostProcessing, ...] = ()
    with noted(problems):
        postprocessings = registry.postprocessings(config.postprocessing)
    problems += unwritable(config.said("results"), config.results)
    problems += unfit_place(config)
    atlas = None
    with noted(problems):
        atlas = planned_atlas(config)
    return postprocessings, atlas


def _notes(
    config: RunConfig, methods: list[PlannedMethod], sources: Sources, atlas: Atlas | None
) -> Iterator[str]:
    """What the user should know before any work."""
    if sources.missing:
        yield f"not in {config.data_root}, left out: {', '.join(sources.missing)}"
    yield from sources.unfit
    for one in methods:
        if one.code.unread:
            yield (
                f"{one.method.info.name}: the source of {', '.join(one.code.unread)} cannot be "
                "read, so a change of it is not seen: after one, use "
                f"{config.said('overwrite', 'all')}"
            )
    if atlas is None:
        known = stated_tissues(config, sources.training)
        falls_back = known is not None and known < MIN_SUBJECTS
    else:
        falls_back = atlas.manifest.fallback
    titles = [one.method.info.title for one in methods if "tissue_prior" in one.method.info.needs]
    if falls_back and titles:
        yield fallback_note(titles, config.said("tissues"))


def _planned(
    method: type[Method],
    config: RunConfig,
    taken_over: Mapping[str, Any],
    lacking: dict[str, list[str]],
) -> Iterator[PlannedMethod]:
    """Yield a method with its parameters: preset, then what a control takes over, then the user's.

    What it lacks, such as a weight file, is added to ``lacking``: what is missing, and for whom.

    Raises:
        UadBenchError: if a parameter is wrong.
    """
    for member in members_of(method):
        whole = f"{method.info.name}.{member_field(member)}"
        if whole in config.param:
            raise UadBenchError(f"{config.said('param', whole)}: {one_by_one(member)}")
    preset = method.info.presets.get(config.preset or "", {})
    given = given_params(config.param, method)
    chosen = validated(
        method, merged({**preset, **taken_over}, given), lambda name: config.said("param", name)
    )
    try:
        params = method.resolve(chosen)
    except UadBenchError as error:
        lacking.setdefault(str(error), []).append(method.info.name)
        return
    is_seeded = method.info.trains or method.info.draws
    seeds = config.seeds if is_seeded else config.seeds[:1]
    tuned = config.tune and bool(tunable(method))
    yield PlannedMethod(method, params, seeds, tuned, code_of(method))


def _lacked(lacking: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield each thing that is missing once, with the methods that need it."""
    for text, names in lacking.items():
        yield f"{', '.join(names)}: {text}"


def _of_nobody(config: RunConfig, settable: set[str], methods: Collection[str]) -> Iterator[str]:
    """Say which given parameters are no method's, or that of one that takes no part.

    Where a method is unknown, which is told already, they may be its own.

    Args:
        config: the run.
        settable: the names of all methods that are known and take part.
        methods: the names of all that should.
    """
    for key in config.param:
        said = config.said("param", key)
        if "." not in key:
            yield f"{said}: write METHOD.NAME=VALUE, such as spa.beta=1e-4"
        elif settable.issuperset(methods) and key.partition(".")[0] not in settable:
            yield f"{said}: its method is not part of this run"


def _settable(method: type[Method]) -> Iterator[str]:
    """Yield the methods whose parameters count for a method: its own, and those it trains."""
    yield method.info.name
    trained = (*members_of(method), *filter(None, [method.trained_as]))
    for one in trained:
        yield from _settable(one)


def _unmet(method: type[Method], config: RunConfig, device: str | None) -> Iterator[str]:
    """What a method needs and this run does not have, and what it does not tell of its members."""
    yield from member_faults(method)
    if "gpu" in method.info.needs and device == "cpu":
        yield (
            f"{method.info.name} needs a GPU, and this run is on the CPU ({config.said('device')})"
        )
    if method.info.supervised and not config.supervised_on:
        yield (
            f"{method.info.name} learns from lesion masks: name the datasets whose masks it may "
            f"learn from, such as {config.said('supervised-on', 'wmh')}"
        )


def planned_atlas(config: RunConfig) -> Atlas | None:
    """The atlas of ``--atlas``, whole and on the grid of this run."""
    if config.atlas is None:
        return None
    atlas = open_atlas(config.atlas)
    refuse_other_grid(atlas, find_recipe(config.recipe, config.template))
    return atlas


def _unused(config: RunConfig, methods: list[PlannedMethod]) -> list[str]:
    """What was asked for that no method of the run has a use for."""
    problems = []
    presets = {name for planned in methods for name in planned.method.info.presets}
    if config.preset is not None and config.preset not in presets:
        known = ", ".join(sorted(presets)) or "none"
        problems.append(
            f"{config.said('preset', config.preset)}: unknown; "
            f"the methods of this run have: {known}"
        )
    needs = {need for planned in methods for need in planned.method.info.needs}
    if config.atlas is not None and "tissue_prior" not in needs:
        problems.append(
            f"{config.said('atlas', config.atlas)}: no method of this run needs a tissue prior; "
            "leave it out"
        )
    if config.supervised_on and "lesion_masks" not in needs:
        words = ",".join(config.supervised_on)
        problems.append(
            f"{config.said('supervised-on', words)}: no method of this run learns from lesion "
            "masks; leave it out"
        )
    return problems
