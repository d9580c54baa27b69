"""The conformance check names every broken rule of a method or dataset, and no kept one."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ConfigDict, create_model

from uad_bench import method
from uad_bench.dataset import Dataset, DatasetInfo, Scan
from uad_bench.method import FitReport, MethodInfo, tunable
from uad_bench.plugins.conformance import check_dataset, check_method, check_score
from uad_bench.plugins.conformance.toy import toy_dataset


class Mean(method.ReconstructionMethod):
    """A learnt constant: keeps every rule."""

    class Params(method.Params):
        shift: float = tunable(0.0, -0.1, 0.1)
        """Brightness that is added to the mean."""
        steps: int = 1000
        """Steps of the training loop."""

    info = MethodInfo("mean", "Mean")
    objective = ("l1",)

    def fit(self, train, validation, context):
        assert self.params.steps < 100
        self.mean_ = np.asarray(train.image.mean())
        l1 = float(np.abs(validation.image - self.reconstruct(validation)).mean())
        return FitReport(validation={"l1": l1})

    def reconstruct(self, slices):
        made = np.full_like(slices.image, self.mean_ + self.params.shift)
        return np.clip(made, 0, 1)


_FACTS = {field.name for field in fields(MethodInfo)}


def broken_rules(cls) -> set[str]:
    return {violation.rule for violation in check_method(cls)}


def variant(**attributes):
    facts = {name: attributes.pop(name) for name in _FACTS & attributes.keys()}
    return type("Variant", (Mean,), {"info": replace(Mean.info, **facts), **attributes})


def with_score(change):
    return variant(score=lambda self, slices: change(Mean.score(self, slices)))


def test_a_method_that_keeps_its_contract_has_no_violation():
    assert check_method(Mean) == []


def test_a_preset_within_the_limits_keeps_the_rules():
    assert check_method(variant(presets={"paper": {"shift": 0.05, "steps": 9}})) == []


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"info": None}, "info"),
        ({"name": "Mean Net"}, "name"),
        ({"name": None}, "name"),
        ({"title": ""}, "title"),
        ({"needs": frozenset({"coffee"})}, "needs"),
        ({"needs": ["gpu"]}, "needs"),
        ({"objective": "l1"}, "objective"),
        ({"objective": ("l2",)}, "objective"),
        ({"budget": "steps"}, "budget"),
        ({"budget": ("epochs",)}, "budget"),
        ({"first_trial": {"beta": 1.0}}, "first_trial"),
        ({"presets": {"Paper!": {}}}, "presets"),
        ({"presets": {"paper": {"shift": "much"}}}, "presets"),
        ({"presets": {"paper": {"gain": 1.0}}}, "presets"),
        ({"presets": {"paper": {"shift": 0.5}}}, "presets"),
        ({"presets": ["paper"]}, "presets"),
        ({"resolve": classmethod(lambda cls, params: None)}, "resolve"),
        ({"resolve": classmethod(lambda cls, params: Path("absent").read_bytes())}, "resolve"),
        ({"resolve": classmethod(lambda cls, p: p.model_copy(update={"shift": p.shift + 0.01}))},
         "resolve"),
        ({"trains": "yes"}, "trains"),
        ({"citation": None}, "citation"),
        ({"state": lambda self: {}}, "state"),
        ({"state": lambda self: {"mean": self}}, "state"),
        ({"load": lambda self, state, device="cpu": setattr(self, "mean_", 0.0)}, "state"),
        ({"fit": lambda self, *a: setattr(self, "mean_", np.asarray(0.0))}, "fit"),
        ({"__init__": lambda self, p=None: Mean.__init__(self) or setattr(self, "k", 1)},
         "constructor"),
    ],
)  # fmt: skip
def test_each_broken_rule_of_a_method_is_named(attributes, rule):
    assert rule in broken_rules(variant(**attributes))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda s: s[:, :, :-1], "shape"),
        (lambda s: s[:, 0], "shape"),
        (lambda s: np.where(s > 0.2, np.nan, s), "finite"),
        (lambda s: s + np.float32(np.inf), "finite"),
        (lambda s: s * 3, "range"),
        (lambda s: -s, "range"),
        (lambda s: s.astype(np.float64), "dtype"),
        (lambda s: s.tolist(), "type"),
        (lambda s: s / 2, "residual"),
        (lambda s: s * np.float32(np.random.default_rng().random()), "order"),
    ],
)
def test_each_fault_of_a_map_is_named(change, rule):
    assert rule in broken_rules(with_score(change))


@pytest.mark.parametrize("change", [lambda s: s * np.float32(1e-4), lambda s: (s * 9).clip(0, 1)])
def test_scores_that_16_bits_cannot_rank_are_found(change):
    assert broken_rules(detector_with(change)) == {"levels"}


def detector_with(change):
    """A method without reconstruction whose score is what ``change`` makes of the image."""

    def score(self, slices):
        return change(slices.image).astype(np.float32)

    return type("Detector", (method.Method,), {"info": MethodInfo("d", "D"), "score": score,
        "fit": lambda self, *a: FitReport()})  # fmt: skip


def test_a_fit_that_ignores_the_seed_is_found():
    def fit(self, train, validation, context):
        report = Mean.fit(self, train, validation, context)
        self.mean_ = np.asarray(np.random.default_rng().random())
        return report

    assert "seed" in broken_rules(variant(fit=fit))


def test_a_score_that_remembers_the_last_scan_is_found():
    def reconstruct(self, slices):
        made = np.full_like(slices.image, getattr(self, "last_", 0.5))
        self.last_ = float(slices.image.max()) / 2
        return made

    assert "order" in broken_rules(variant(reconstruct=reconstruct))


def test_arrays_that_are_written_to_are_found():
    def fit(self, train, validation, context):
        train.image[:] *= 0.5
        return Mean.fit(self, train, validation, context)

    def score(self, slices):
        slices.image[:] = 0
        return slices.image

    assert "input" in broken_rules(variant(fit=fit))
    assert "input" in broken_rules(variant(score=score))


def test_an_exception_is_one_line_with_the_plugins_own_line_number():
    def fit(self, train, validation, context):
        raise ValueError("two\nlines")

    (violation,) = check_method(variant(fit=fit, __module__=Mean.__module__))
    assert violation.rule == "fit"
    assert violation.message.startswith("fit raised ValueError: two lines (test_conformance.py:")


def test_what_cannot_be_stored_is_said_in_plain_words():
    def fit(self, train, validation, context):
        self.odd_ = object()
        return Mean.fit(self, train, validation, context)

    (violation,) = check_method(variant(fit=fit))
    assert violation.rule == "state"
    assert violation.message.startswith("storing and restoring: odd_ holds a value of type object")


def test_all_broken_rules_are_reported_at_once():
    cls = variant(title="", objective=("l2",), score=lambda self, s: s.image[:, 0] * 2 - 1)
    assert broken_rules(cls) >= {"title", "objective", "shape", "range", "residual"}


@pytest.mark.parametrize(
    "field",
    [
        {"shift": (float, tunable(0.5, 0.0, 0.1))},
        {"shift": (float, tunable(0.0, 0.1, -0.1))},
        {"shift": (float, tunable(0.0, 0.0, 0.1, log=True))},
        {"shift": (float, tunable(0.0, -0.1, 0.1, ge=0.0))},
    ],
)
def test_a_search_range_must_hold_its_default_and_be_allowed(field):
    params = create_model("Params", __base__=method.Params, **field)
    assert "search" in broken_rules(variant(Params=params))


def test_a_parameter_must_say_what_it_means_unless_it_is_inherited():
    class Silent(Mean.Params):
        shift: float = tunable(0.05, -0.1, 0.1)
        gain: float = 1.0

    (violation,) = check_method(variant(Params=Silent))
    assert violation.rule == "description"
    assert violation.message.endswith("what this parameter means: gain")


def test_parameters_must_have_defaults_and_stay_frozen():
    class NoDefault(method.Params):
        shift: float

    class Loose(Mean.Params):
        model_config = ConfigDict(frozen=False, extra="allow")

    assert "params" in broken_rules(variant(Params=NoDefault))
    assert "params" in broken_rules(variant(Params=Loose))
    assert "params" in broken_rules(variant(Params=dict))


def test_the_toy_dataset_is_what_the_contract_says():
    toy = toy_dataset()
    again = toy_dataset()
    for slices, other in zip(toy.scans, again.scans, strict=True):
        assert slices.image.dtype == np.float32
        assert slices.image.shape == (len(slices), 1, 64, 64)
        assert slices.image.min() >= 0
        assert slices.image.max() <= 1
        assert not slices.image[~slices.brain].any()
        assert np.array_equal(slices.image, other.image)
    np.testing.assert_allclose(toy.prior.mean.sum(axis=0), 1, atol=1e-6)
    assert toy.context(frozenset(), seed=1).tissue_prior is None
    assert all(slices.lesion is None for slices in (*toy.slices(frozenset()), *toy.scans))


def test_what_a_method_needs_is_given_to_it():
    def fit(self, train, validation, context):
        assert context.tissue_prior.mean.shape[0] == 4
        assert train.lesion.shape == train.image.shape
        assert validation.lesion.shape == validation.image.shape
        return Mean.fit(self, train, validation, context)

    needs = frozenset({"tissue_prior", "lesion_masks"})
    supervised = variant(fit=fit, needs=needs)
    assert supervised.info.supervised
    assert not Mean.info.supervised
    assert check_method(supervised) == []


def test_a_map_with_nan_and_values_out_of_range_has_both_faults():
    scan = toy_dataset().scans[0]
    bad = scan.image.copy()
    bad[0, 0, 0, :3] = np.nan, 2, -1
    assert [v.rule for v in check_score(bad, scan)] == ["finite", "range"]


class Pairs(Dataset):
    """Keeps every rule."""

    info = DatasetInfo(
        name="pairs",
        title="Pairs",
        disease="none",
        citation="Somebody (2020)",
        bibtex="@misc{pairs}",
        licence="free",
        obtain="here",
        layout="pairs/",
        folders=("pairs",),
    )

    def scans(self, root):
        for path in sorted(root.glob("*.nii")):
            yield Scan(subject=path.stem, flair=path)


@pytest.fixture
def folder(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.nii").write_bytes(b"x")
    return tmp_path


def dataset_rules(cls, root=None) -> set[str]:
    return {violation.rule for violation in check_dataset(cls, root)}


def test_a_dataset_that_keeps_its_contract_has_no_violation(folder):
    assert check_dataset(Pairs) == []
    assert check_dataset(Pairs, folder) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": "Pairs"}, "name"),
        ({"title": ""}, "info"),
        ({"obtain": "two\nlines"}, "info"),
        ({"layout": " "}, "info"),
        ({"bibtex": ""}, "citation"),
        ({"bibtex": "Somebody, 2020"}, "citation"),
        ({"folders": ()}, "folders"),
        ({"folders": "pairs"}, "folders"),
        ({"expected_scans": 0}, "info"),
    ],
)
def test_each_missing_fact_of_a_dataset_is_named(change, rule):
    cls = type("Changed", (Pairs,), {"info": replace(Pairs.info, **change)})
    assert dataset_rules(cls) == {rule}


@pytest.mark.parametrize(
    ("scans", "rule"),
    [
        (lambda self, root: reversed(list(Pairs.scans(self, root))), "order"),
        (lambda self, root: iter([*Pairs.scans(self, root)] * 2), "unique"),
        (lambda self, root: (scan.name for scan in Pairs.scans(self, root)), "scans"),
        (lambda self, root: iter([Scan("a", root / "a.nii", split="dev")]), "split"),
        (lambda self, root: [path.read_bytes() for path in root.glob("*.nii")][:0], "loads"),
        (lambda self, root: iter([Scan("a", root / "a.nii")]), "empty"),
        (lambda self, root: 1 / 0, "scans"),
    ],
)
def test_each_fault_of_the_scans_is_named(folder, scans, rule):
    assert rule in dataset_rules(type("Changed", (Pairs,), {"scans": scans}), folder)
