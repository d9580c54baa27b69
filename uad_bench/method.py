"""The method contract: what a detector is given, what it gives back, and what it declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Protocol, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from uad_bench import fitted_state
from uad_bench.errors import UadBenchError
from uad_bench.system.yaml_files import Written

Need = Literal["tissue_prior", "lesion_masks", "other_people", "gpu"]
FloatArray = NDArray[np.float32]

TISSUES = ("CSF", "GM", "WM", "background")
"""The tissues of a prior and of latent maps, in this order."""


class Params(BaseModel):
    """Hyper-parameters of a method: validated, frozen, and the only arguments it takes.

    A text below a field describes it: what it means, with its unit. A field that a subclass
    declares anew, for another default, keeps the description (:func:`descriptions`). A number is
    never read from a truth value, which YAML makes of ``yes`` and ``on``; and a text that was
    written on the command line is never read as a number.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _keep_kinds_apart(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, Written):
            value = _as_asked(value, field)
        if isinstance(value, bool) and _takes_numbers_only(field):
            raise PydanticCustomError(
                "truth_value",
                "Input should be a number, not {value} (YAML reads yes, no, on and off as "
                "true and false)",
                {"value": str(value).lower()},
            )
        return value


def _kinds(field: FieldInfo) -> set[Any]:
    """The types that a parameter may have."""
    is_union = get_origin(field.annotation) in (Union, UnionType)
    return set(get_args(field.annotation)) if is_union else {field.annotation}


def _takes_numbers_only(field: FieldInfo) -> bool:
    """Whether a parameter is a number, and no truth value."""
    kinds = _kinds(field)
    return bool(kinds & {int, float}) and bool not in kinds


def _as_asked(written: Written, field: FieldInfo) -> Any:
    """What was written, as the parameter takes it: as a text where it takes nothing else."""
    kinds = _kinds(field)
    if not kinds & {str, Path} or kinds - {str, Path, NoneType}:
        return written.value
    return None if NoneType in kinds and written.value is None else written.text


@dataclass(frozen=True, slots=True)
class SearchRange:
    """The range in which a parameter is tuned: ``[low, high]``, on a log scale if ``log``."""

    low: float
    high: float
    log: bool = False


def tunable(default: float, low: float, high: float, *, log: bool = False, **limits: Any) -> Any:
    """A pydantic field that carries its search range as data.

    Args:
        default: the value used without tuning.
        low: lower end of the search range.
        high: upper end of the search range.
        log: search on a logarithmic scale.
        limits: validation limits, handed to :func:`pydantic.Field`.
    """
    extra: dict[str, Any] = {"search": {"low": low, "high": high, "log": log}}
    return Field(default=default, json_schema_extra=extra, **limits)


def search_space(params: type[Params]) -> dict[str, SearchRange]:
    """The tunable fields of ``params`` and their ranges, in the order of declaration."""
    space = {}
    for name, info in params.model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and isinstance(search := extra.get("search"), dict):
            space[name] = SearchRange(**search)  # type: ignore[arg-type]
    return space


def descriptions(params: type[Params]) -> dict[str, str]:
    """What each field of ``params`` means, in the order of declaration; empty if nobody says it.

    The words are those of the nearest class that has some: ``params`` itself or a base.
    """
    models = [base for base in params.__mro__ if issubclass(base, Params)]
    return {
        name: next(filter(None, (_description(model, name) for model in models)), "")
        for name in params.model_fields
    }


def _description(model: type[Params], name: str) -> str | None:
    field = model.model_fields.get(name)
    return None if field is None else field.description


@dataclass(frozen=True, slots=True)
class Slices:
    """Axial slices in template space; arrays may be memory maps.

    Attributes:
        image: float32 ``[N, 1, H, W]`` in [0, 1], 0 outside the brain.
        brain: bool ``[N, 1, H, W]``.
        z: int ``[N]``, the slice's index in the template grid of the recipe.
        spacing: voxel size ``(z, y, x)`` in mm.
        lesion: uint8 ``[N, 1, H, W]`` (0 healthy, 1 lesion, 2 ignored): what methods that need
            ``lesion_masks`` learn from and choose their state by. ``None`` for every other
            method, and wherever slices are scored.
    """

    image: FloatArray
    brain: NDArray[np.bool_]
    z: NDArray[np.int64]
    spacing: tuple[float, float, float]
    lesion: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.z)

    def scans(self) -> Iterator[Slices]:
        """Yield the scans that these are the slices of; ``z`` rises within each, and only there."""
        falls = np.flatnonzero(np.diff(self.z) <= 0) + 1
        for start, stop in pairwise([0, *falls.tolist(), len(self)]):
            yield self.take(slice(start, stop))

    def take(self, rows: slice | NDArray[np.int64]) -> Slices:
        """Return some of the slices."""
        lesion = None if self.lesion is None else self.lesion[rows]
        return Slices(self.image[rows], self.brain[rows], self.z[rows], self.spacing, lesion)


@dataclass(frozen=True, slots=True)
class TissuePrior:
    """Distribution of tissue probability per voxel of the template grid in healthy people.

    Attributes:
        mean: float32 ``[K, Z, H, W]``, K in the order of ``TISSUES``; sums to 1.
        variance: float32 ``[K, Z, H, W]``, not floored: a method applies its own floor.
        source: where it comes from, for the record (training dataset and its size, or template).

    Raises:
        UadBenchError: if it has other tissues.
    """

    mean: FloatArray
    variance: FloatArray
    source: str

    def __post_init__(self) -> None:
        if len(self.mean) != len(TISSUES) or self.mean.shape != self.variance.shape:
            raise UadBenchError(
                f"tissue prior from {self.source}: mean {self.mean.shape} and variance "
                f"{self.variance.shape} are not both [{len(TISSUES)}, Z, H, W]; rebuild it "
                f"from maps of {', '.join(TISSUES)}"
            )


def _ignore(step: int, values: Mapping[str, float]) -> None:
    """Report to nobody."""


class Checkpoint(Protocol):
    """Where one training keeps its state, so that one that was killed can go on."""

    def load(self) -> bytes | None:
        """Return the state that was kept last; ``None``: the training begins."""

    def is_due(self) -> bool:
        """Whether the state should be kept now; asked after every step."""

    def save(self, state: bytes) -> None:
        """Keep a state instead of the one before.

        Raises:
            KeyboardInterrupt: the user asked to stop in the meantime.
        """


@dataclass(frozen=True, slots=True)
class FitContext:
    """Everything a method may use besides the slices. Methods never read files or log.

    Attributes:
        seed: every random draw of ``fit`` follows from it.
        device: a torch device, such as ``cpu`` or ``cuda:0``.
        tissue_prior: given to methods that need ``tissue_prior``, ``None`` to others.
        report: called with the step (from 1) and current values, to show progress.
        checkpoint: entered by every training of ``fit``, one after the other, for where its state
            is kept; ``None`` comes out where no state is kept.
        checked: called with the step and the metrics on healthy validation slices, where a training
            looks at them; it may end the training by an exception.
    """

    seed: int
    device: str = "cpu"
    tissue_prior: TissuePrior | None = None
    report: Callable[[int, Mapping[str, float]], None] = _ignore
    checkpoint: Callable[[], AbstractContextManager[Checkpoint | None]] = nullcontext
    checked: Callable[[int, Mapping[str, float]], None] = _ignore


@dataclass(frozen=True, slots=True)
class FitReport:
    """What training amounted to.

    Attributes:
        steps: optimiser steps taken.
        slices_seen: training slices drawn, repeats counted.
        validation: metrics on the healthy validation slices, lower is better. Those named in
            ``Method.objective`` are what tuning by ``reconstruction`` minimises.
        curves: per metric, pairs of step and value, for the record.
        notes: facts worth keeping, such as which perceptual weights were used.
    """

    steps: int = 0
    slices_seen: int = 0
    validation: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """Frozen facts about a method.

    Attributes:
        name: the name on the command line. Written as a literal: listing imports nothing.
        title: the column heading in tables.
        citation: author and year; empty for a control.
        needs: what must be there, so that an impossible cell is refused before any work.
        trains: whether ``fit`` learns anything.
        draws: whether its scores follow from the seed though it learns nothing. A method that
            neither learns nor draws is run with one seed.
        control: whether it is a control rather than a detector; marked in every table.
        beside: of a control, the methods that it stands beside where the user names no controls:
            ``all``, or ``networks`` (methods with a budget). Written as a literal.
        stands_for: of a control, the name of the method that it does the same as; where that
            method is in the run, the control is not added. Written as a literal.
        first_trial: values of tunable fields that tuning tries first, such as the published ones;
            the defaults are tried next.
        presets: named sets of parameters, such as ``paper`` for the published ones; what the
            user sets wins over them, and they win over the defaults.
    """

    name: str
    title: str
    _: KW_ONLY
    citation: str = ""
    needs: frozenset[Need] = frozenset()
    trains: bool = True
    draws: bool = False
    control: bool = False
    beside: Literal["all", "networks"] | None = None
    stands_for: str = ""
    first_trial: Mapping[str, float] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def supervised(self) -> bool:
        """Whether it sees lesion masks; marked in every table."""
        return "lesion_masks" in self.needs


class Method(ABC):
    """An anomaly detector. One per file in ``methods/``.

    The constructor takes ``Params`` and does nothing else; ``fit`` sets attributes that end in
    an underscore, which the engine stores and restores (:meth:`state`). An anomaly map is finite,
    in [0, 1], higher where more anomalous, of the image's height and width. ``score`` is always
    given all slices of one scan, in z order, and may not depend on how they are batched.

    Class attributes:
        info: what it is, as one frozen value. A subclass of a method states its own, whole.
        Params: its hyper-parameters.
        objective: the validation metrics that tuning by ``reconstruction`` minimises, fidelity
            first. A method without any is not tuned.
        budget: the parameters that say how large it is and how long it trains; a control beside it
            is given the same.
        trained_as: the method, a base class of this one, whose training it shares. It differs in
            how it scores, and has that method's parameters beside its own. The engine trains that
            method once, hands its state to :meth:`load`, and calls :meth:`calibrate`.

    Examples:
        >>> import numpy as np
        >>> import uad_bench as ub
        >>> from uad_bench.method import FitContext, FitReport, MethodInfo, Slices
        >>> class Bright(ub.Method):
        ...     info = MethodInfo("bright", "Bright")
        ...
        ...     def fit(self, train, validation, context):
        ...         self.usual_ = float(np.median(train.image[train.brain]))
        ...         return FitReport(slices_seen=len(train))
        ...
        ...     def score(self, slices):
        ...         return np.clip(slices.image - np.float32(self.usual_), 0, 1)
        >>> image = np.full((2, 1, 4, 4), 0.5, np.float32)
        >>> slices = Slices(image, image > 0, z=np.arange(2), spacing=(3.0, 1.0, 1.0))
        >>> detector = Bright()
        >>> detector.fit(slices, slices, FitContext(seed=0)).slices_seen
        2
        >>> float(detector.score(slices).max())
        0.0
    """

    info: ClassVar[MethodInfo]
    objective: ClassVar[tuple[str, ...]] = ()
    budget: ClassVar[tuple[str, ...]] = ()
    trained_as: ClassVar[type[Method] | None] = None
    Params: ClassVar[type[Params]] = Params

    def __init__(self, params: Any = None) -> None:
        self.params = self.Params() if params is None else params

    @classmethod
    def resolve(cls, params: Any) -> Any:
        """Return the parameters with what depends on a file filled in, such as its checksum.

        Called when a run is planned, before any data is touched; the one place where a method may
        look at a file, and only at files that its parameters name.

        Args:
            params: of type ``Params``.

        Raises:
            UadBenchError: in one line, where a file is missing or another than it should be.
        """
        return params

    @abstractmethod
    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Learn from healthy slices. Called once; must be deterministic given ``context.seed``.

        A method that needs ``lesion_masks`` is given slices of patients, with their masks.
        """

    def calibrate(
        self,
        validation: Slices,  # noqa: ARG002
        context: FitContext,  # noqa: ARG002
    ) -> tuple[str, ...]:
        """Choose what scoring needs, such as a scale, on healthy validation slices.

        Called once after ``fit``, or after ``load`` where another method's training is shared; must
        be deterministic given ``context.seed``. By default there is nothing to choose.

        Returns:
            Facts worth keeping, such as what was chosen.
        """
        return ()

    @abstractmethod
    def score(self, slices: Slices) -> FloatArray:
        """Return the anomaly map ``[N, 1, H, W]``, float32 in [0, 1]."""

    def build(self) -> None:  # noqa: B027
        """Set the untrained torch modules, in attributes that end in an underscore.

        Only for methods that have such modules. :meth:`load` calls it before it fills them, when
        everything else that ``fit`` left is restored; ``fit`` calls it too.
        """

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what ``fit`` left, as arrays; what :meth:`load` needs to score the same bits.

        That is every attribute that ends in an underscore. It may hold arrays of numbers or
        booleans, numbers, booleans, text, ``None``, frozen dataclasses of these (named in the
        attribute's annotation), and tuples, lists and dictionaries of these; or be a torch module
        (set by :meth:`build`), of which the parameters and buffers are kept. No code is stored.

        Raises:
            UadBenchError: naming an attribute that holds anything else.
        """
        return fitted_state.pack(self)

    def load(self, state: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        """Restore what :meth:`state` returned.

        Args:
            state: the arrays.
            device: where torch modules are put.

        Raises:
            UadBenchError: if the arrays are not those of this method.
        """
        fitted_state.unpack(self, state, device)


class ReconstructionMethod(Method):
    """A method whose anomaly map is the residual between a slice and its reconstruction.

    The evaluation takes the absolute residual without post-processing, and the positive
    residual (input brighter than reconstruction) for the starred variant.

    Class attributes:
        scores_by_residual: ``False`` for a method that reconstructs, but whose anomaly map is
            another one: its ``score``.
    """

    scores_by_residual: ClassVar[bool] = True

    @abstractmethod
    def reconstruct(self, slices: Slices) -> FloatArray:
        """Return pseudo-healthy slices ``[N, 1, H, W]``, float32 in [0, 1]."""

    def score(self, slices: Slices) -> FloatArray:
        """Return the absolute residual ``|x - reconstruction|``."""
        residual: FloatArray = np.abs(slices.image - self.reconstruct(slices))
        return residual


class EnsembleMethod(Method):
    """A method whose detectors are those of other methods.

    The engine trains them as it trains those methods, hands them to :meth:`join` instead of calling
    ``fit``, and calls :meth:`calibrate`. They are kept with the ensemble.

    Class attributes:
        members: the methods. The ensemble's parameters have a field with those of each, called like
            it (:func:`member_field`).

    Attributes:
        joined: the trained detectors. ``state`` and ``load`` are those of the subclass, and keep
            them.
    """

    members: ClassVar[tuple[type[Method], ...]]
    joined: tuple[Method, ...]

    @abstractmethod
    def detectors(self, seed: int) -> Iterator[tuple[type[Method], Any, int]]:
        """Yield method, parameters and seed of each detector of the ensemble of this seed."""

    def join(self, detectors: Sequence[Method]) -> None:
        """Take the trained detectors, in the order of :meth:`detectors`."""
        self.joined = tuple(detectors)


def members_of(method: type[Method]) -> tuple[type[Method], ...]:
    """The methods that an ensemble is made of; none of another method."""
    return method.members if issubclass(method, EnsembleMethod) else ()


def member_faults(method: type[Method]) -> Iterator[str]:
    """Say what an ensemble does not tell of its members, and which of them do not fit together.

    Its own needs decide what a run gives its members, and where its tables show it.
    """
    name, members = method.info.name, members_of(method)
    for member in members:
        for need in sorted(member.info.needs - method.info.needs):
            yield (
                f"{name}: its member {member.info.name} needs {need}: add it to the needs of {name}"
            )
    kinds = {member.info.supervised: member.info.name for member in members}
    if len(kinds) > 1:
        yield (
            f"{name}: {kinds[True]} learns from lesion masks, {kinds[False]} from healthy people: "
            "the members of an ensemble learn from the same"
        )


def member_field(method: type[Method]) -> str:
    """The field of an ensemble's parameters that holds those of a member."""
    return method.info.name.replace("-", "_")


class TissueMapping(ABC):
    """A method whose latent is a map of tissues; inherit it beside the method's base class."""

    @abstractmethod
    def tissues(self, slices: Slices) -> FloatArray:
        """Return tissue maps ``[N, 4, H, W]`` in [0, 1], in the order of ``TISSUES``."""
