"""How a claim and what the numbers say of it are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from .arms import ARMS, BY_NAME, short
from .effects import Estimate, Values, Verdict, difference, estimate, stacked
from .notation import NOT_RUN, TEMPLATES, bare, change, number
from .records import POSTS, UNSEEN, Group, Study

_TEXTS = yaml.safe_load(Path(__file__).with_name("answers.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A claim and what the numbers say of it."""

    claim: str  # in one sentence
    verdict: str
    numbers: str  # the ones that decide, in a phrase
    rule: str  # how it was decided
    evidence: tuple[str, ...]  # Markdown, one block each


def answer(name: str, study: Study, found: Verdict, **facts: Any) -> Answer:
    """Fill in the text of an answer.

    Args:
        name: in ``answers.yaml``.
        study: the results.
        found: what the numbers say. A lead is confirmed or overturned.
        facts: what its text names besides.
    """
    text, values = _TEXTS[name], words(study) | facts
    claim, numbers, rule, *evidence = (
        TEMPLATES.from_string(one).render(values).strip()
        for one in (text["claim"], text["numbers"], text["rule"], *text["evidence"])
    )
    said = {Verdict.YES: "confirmed", Verdict.NO: "overturned"} if "Lead" in claim else {}
    return Answer(claim, said.get(found, found.value), numbers, rule, tuple(evidence))


def words(study: Study) -> dict[str, Any]:
    """What every text of the page may name."""
    bound: dict[str, Callable[..., Any]]
    bound = {"means": means, "gains": gains, "best": best_text, "beyond": beyond_thresholding}
    values = {"study": study, "kinds": study.kinds, "unseen": UNSEEN, "short": short}
    return values | {name: partial(one, study) for name, one in bound.items()}


def by_kind(written: Iterable[str], study: Study) -> str:
    """Write a number for the real and one for the simulated patients."""
    kinds = [kind.title.split(" ")[1] for kind in study.kinds]
    return ", ".join(f"{one} ({kind})" for one, kind in zip(written, kinds, strict=True))


def means(study: Study, arm: str, name: str) -> str:
    """An arm's mean in real and in simulated patients."""
    return by_kind([number(study.mean(arm, kind, name)) for kind in study.kinds], study)


def gains(study: Study, arm: str, base: str, name: str) -> str:
    """What an arm has more of a number than another one, in real and in simulated patients."""
    return by_kind([change(study.gain(arm, base, kind, name)) for kind in study.kinds], study)


@cache
def best_thresholding(study: Study, dataset: Group, metric: str) -> tuple[str, Values] | None:
    """The variant and post-processing of thresholding with the highest mean in a dataset.

    It is chosen on the test patients themselves, which favours thresholding.
    """
    found = []
    for arm in (one for one in ARMS if one.method == "thresholding"):
        for mark in POSTS:
            values = study.values(arm.name, dataset, f"{metric}{mark}")
            mean = estimate(values)
            if values is not None and mean is not None:
                found.append((mean.mean, f"{arm.params['variant']}{mark}", values))
    return max(found, key=lambda one: one[0])[1:] if found else None


def best_text(study: Study, dataset: Group, metric: str) -> str:
    """The best thresholding of a dataset, as in ``0.41 raw``."""
    best = best_thresholding(study, dataset, metric)
    return f"{bare(estimate(best[1]))} {best[0]}" if best else NOT_RUN


def beyond_thresholding(
    study: Study, arm: str, group: Group, metric: str, mark: str | None = None
) -> Estimate | None:
    """An arm less the best variant of thresholding, which is chosen anew for each dataset."""
    name = f"{metric}{BY_NAME[arm].mark if mark is None else mark}"
    parts = []
    for dataset in (study.group("", [label]) for label in group.datasets):
        best = best_thresholding(study, dataset, metric)
        values = study.values(arm, dataset, name)
        parts.append(None if best is None else difference(values, best[1]))
    return estimate(stacked(parts))
