"""The estimate of a run: seconds of every stage of every method, and the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from uad_bench.cells import CellRecord
from uad_bench.method import Params, Slices, search_space
from uad_bench.results import ResultsFolder
from uad_bench.runner.costs.amounts import Amount, find_amount
from uad_bench.runner.costs.known import Costs, cost_key, costs_of_cells, units
from uad_bench.runner.costs.probe import noise, probe, probe_evaluation
from uad_bench.runner.data.gather import Orders
from uad_bench.runner.detectors.trainings import Training, trainings
from uad_bench.runner.detectors.tuning import looks_at_scans, shortened, studied
from uad_bench.runner.environment import describe_device
from uad_bench.runner.failures import in_one_line
from uad_bench.runner.plan.known import KnownCells
from uad_bench.runner.plan.plan import Plan, PlannedMethod
from uad_bench.study_record import USUAL_TRIALS, readable_studies
from uad_bench.tuning.grid import grid
from uad_bench.volumes.recipe import find_recipe


@dataclass(frozen=True, slots=True)
class MethodEstimate:
    """What is left to do for a method, in seconds of this machine.

    Attributes:
        planned: the method.
        tune_s: all trials.
        train_s: the trainings of all seeds that no method above has.
        score_s: scoring and evaluating the healthy validation scans and all datasets.
        source: where it is from: ``earlier cells`` or ``a probe``; empty where nothing is left.
        unknown: why nothing is known; empty otherwise.
    """

    planned: PlannedMethod
    tune_s: float = 0.0
    train_s: float = 0.0
    score_s: float = 0.0
    source: str = ""
    unknown: str = ""

    @property
    def total_s(self) -> float:
        """All stages."""
        return self.tune_s + self.train_s + self.score_s


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left of a run, one job after the other.

    Attributes:
        data_s: simulating and preparing, in seconds.
        to_prepare: scans that are simulated or prepared.
        methods: what each method takes.
        memory_mb: the most that a process takes.
        device: where it was measured, in words.
    """

    data_s: float
    to_prepare: int
    methods: tuple[MethodEstimate, ...]
    memory_mb: float
    device: str

    @property
    def total_s(self) -> float:
        """Everything."""
        return self.data_s + sum(one.total_s for one in self.methods)


def estimate(
    plan: Plan,
    orders: Orders,
    records: Iterable[CellRecord],
    device: str,
    begin: Callable[[str], None],
) -> Estimate:
    """Estimate what is left of a run.

    What earlier cells in the results folder took on this device is taken over; the other methods
    are probed: some steps on noise, and some slices.

    Args:
        plan: the run.
        orders: what is to be prepared.
        records: the cells in the results folder.
        device: the resolved torch device.
        begin: told what is probed.
    """
    cells, here = tuple(records), describe_device(device)
    left = _Left.of(plan, orders, cells)
    methods = {one.method.info.name: one.method for one in plan.methods}
    known = costs_of_cells(cells, methods, here)
    probes = _Probes(plan, device, known)
    found = []
    for planned in plan.methods:
        if not left.cells(planned):
            found.append(MethodEstimate(planned))
            continue
        source = "earlier cells" if _is_known(known, planned, plan) else "a probe"
        if not _is_known(probes.costs, planned, plan):
            begin(f"probe {planned.method.info.name}")
            if unknown := probes.probe(planned):
                found.append(MethodEstimate(planned, unknown=unknown))
                continue
        found.append(replace(left.estimated(planned, probes.costs), source=source))
    amounts = (*left.tested.values(), *left.learned.values())
    return Estimate(
        sum(one.prepare_s for one in amounts),
        sum(one.to_do for one in amounts),
        tuple(found),
        probes.costs.memory_mb,
        here,
    )


OpenCell = tuple[str, str, int, str]
"""Method, what it is supervised on, seed and dataset."""


def _open_cells(plan: Plan, records: Iterable[CellRecord]) -> frozenset[OpenCell]:
    """The cells that are not done."""
    studies = readable_studies(ResultsFolder(plan.config.results).tuning)
    known = KnownCells(() if plan.config.overwrite == "all" else records, studies)
    return frozenset(
        (cell.method, cell.supervised_on, cell.seed, cell.dataset)
        for cell in plan.cells()
        if not known.is_done(cell)
    )


class _Probes:
    """What is known of costs: from the start, and from probes."""

    def __init__(self, plan: Plan, device: str, known: Costs) -> None:
        self.costs = known
        self._plan, self._device = plan, device
        self._scan: Slices | None = None
        self._evaluation_s = 0.0

    def probe(self, planned: PlannedMethod) -> str:
        """Measure a method; return why it cannot be, empty where it was."""
        try:
            scan = self._noise()
            new = probe(planned.method, planned.params, self.costs, scan, self._device)
        except Exception as error:  # whatever it is: the run will say more
            return in_one_line(error)
        each = self._evaluation_s * len(self._plan.postprocessings)
        scores = {key: seconds + each for key, seconds in new.slice_s.items()}
        self.costs |= Costs(new.unit_s, scores, new.memory_mb)
        return ""

    def _noise(self) -> Slices:
        """What methods are probed with, once it is known what its evaluation takes."""
        if self._scan is None:
            config = self._plan.config
            scan = noise(find_recipe(config.recipe, config.template))
            self._evaluation_s = probe_evaluation(self._plan.protocols, scan)
            self._scan = scan
        return self._scan


def _is_known(costs: Costs, planned: PlannedMethod, plan: Plan) -> bool:
    """Whether it is known what trainings of a method cost, and scores of it and of its trials."""
    method, params = planned.method, planned.params
    parts = {cost_key(root, own): root for root, own, _ in trainings(method, params, 0)}
    scores = {cost_key(method, params)}
    if planned.tuned and looks_at_scans(plan.config.objective):
        tuned = frozenset(studied(method))
        scores |= {key for key, root in parts.items() if root in tuned}
    return parts.keys() <= costs.unit_s.keys() and scores <= costs.slice_s.keys()


@dataclass(frozen=True, slots=True)
class _Left:
    """What is left to do.

    Attributes:
        plan: the run.
        open: the cells that are not done.
        tested: the tested datasets, by name.
        learned: what methods learn from, by the dataset of supervised ones; healthy people by "".
        counted: the trainings, and the tunings, that an estimate has.
    """

    plan: Plan
    open: frozenset[OpenCell]
    tested: Mapping[str, Amount]
    learned: Mapping[str, Amount]
    counted: set[tuple[str, str, int]] = field(default_factory=set)

    @classmethod
    def of(cls, plan: Plan, orders: Orders, cells: tuple[CellRecord, ...]) -> _Left:
        """Find how much there is of every dataset."""
        config, sources = plan.config, plan.sources
        tested = {
            one.label: find_amount(config, one, orders.evaluated.get(one.label))
            for one in sources.evaluated
        }
        taught = {
            one.label: find_amount(config, one, orders.supervised.get(one.label))
            for one in sources.supervised
        }
        healthy = find_amount(config, sources.training, orders.training, is_learned=True)
        return cls(plan, _open_cells(plan, cells), tested, {"": healthy, **taught})

    def cells(self, planned: PlannedMethod) -> tuple[tuple[int, str], ...]:
        """Seed and dataset of a method's cells that are not done."""
        own = (planned.method.info.name, planned.supervised_on)
        return tuple((seed, label) for *whose, seed, label in self.open if tuple(whose) == own)

    def estimated(self, planned: PlannedMethod, costs: Costs) -> MethodEstimate:
        """What a method takes whose costs are known."""
        method, params, cells = planned.method, planned.params, self.cells(planned)
        seeds = sorted({seed for seed, _ in cells})
        on = planned.supervised_on
        slices, validation = self.learned[on].slices["train"], self.learned[""].slices["validation"]
        looked_at = validation if looks_at_scans(self.plan.config.objective) else 0
        tune_s = 0.0
        if planned.tuned:
            tuned = frozenset(studied(method))
            for root, own, _ in self._new(trainings(method, params, 0), on, tuning=True):
                if root in tuned:
                    short, key = own.model_copy(update=shortened(own)), cost_key(root, own)
                    trial_s = costs.unit_s[key] * units(short, slices)
                    trial_s += costs.slice_s[key] * looked_at if looked_at else 0.0
                    tune_s += self._trials(own) * trial_s
        train_s = sum(
            costs.unit_s[cost_key(root, own)] * units(own, slices)
            for seed in seeds
            for root, own, _ in self._new(trainings(method, params, seed), on)
        )
        scored = len(seeds) * validation
        scored += sum(self.tested[label].slices["test"] for _, label in cells)
        score_s = costs.slice_s[cost_key(method, params)] * scored
        return MethodEstimate(planned, tune_s, train_s, score_s)

    def _trials(self, params: Params) -> int:
        """How many trials a study has; what the user set is not looked at."""
        config, space = self.plan.config, search_space(type(params))
        if config.sampler == "grid":
            points = len(grid(space, params.model_dump(include=set(space))))
            return min(config.trials or points, points)
        return config.trials or USUAL_TRIALS

    def _new(
        self, some: Iterable[Training], supervised_on: str, *, tuning: bool = False
    ) -> Iterator[Training]:
        """Yield the trainings that no method before has on the same data; tuning has one seed."""
        for root, params, seed in some:
            mark = (cost_key(root, params), supervised_on, -1 if tuning else seed)
            if mark not in self.counted:
                self.counted.add(mark)
                yield root, params, seed
