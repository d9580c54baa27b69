"""New detectors, and whether they beat thresholding."""

from __future__ import annotations

from answers import Answer, by_kind
from arms import Arm
from effects import Verdict, all_of, estimate, verdict
from notation import NOT_RUN, change, number, table
from records import POSTS, Study, base_of, own_post
from thresholding import against_thresholding, best_thresholding


def detectors(study: Study) -> tuple[Arm, ...]:
    """The new detectors: arms of that group that vary no other one."""
    new = [arm for arm in study.arms if arm.group == "detector"]
    return tuple(arm for arm in new if base_of(arm, new) is None)


def answer_goal(study: Study, arm: Arm) -> Answer:
    """Whether a detector beats the best thresholding on every dataset."""
    metrics = {"max_dice": "max Dice", "dice": "Dice at the validation threshold"}
    shown, verdicts, everywhere = [], [], True
    for metric, name in metrics.items():
        pooled = [
            estimate(against_thresholding(study, arm.name, kind, own_post(arm), metric))
            for kind in study.kinds
        ]
        verdicts += [verdict(one) for one in pooled]
        each = [
            estimate(against_thresholding(study, arm.name, group, own_post(arm), metric))
            for group in study.datasets
        ]
        ahead = sum(one is not None and one.mean > 0 for one in each)
        everywhere = everywhere and ahead == len(each)
        shown.append(
            f"{name} {by_kind([change(one) for one in pooled], study)}, ahead in {ahead} of "
            f"{len(each)} datasets"
        )
    found = all_of(verdicts)
    if found == Verdict.YES and not everywhere:
        found = Verdict.UNCLEAR
    return Answer(
        f"Beyond the paper: {arm.label} beats the best thresholding on every dataset",
        found,
        f"Difference in {'; in '.join(shown)}.",
        "yes if its mean is higher in every dataset and its difference is above 0 in real and in "
        "simulated patients, in max Dice and in Dice at the validation threshold; no if all four "
        "differences are below 0. The best of nine variants of thresholding is picked per dataset "
        "and metric on the test patients.",
        (),
    )


def detector_table(study: Study, arm: Arm) -> str:
    """A new detector against the best thresholding of every dataset."""
    rows = []
    for group in (*study.datasets, *study.kinds):
        cells = [f"{group.title}, {group.people}" if len(group.datasets) == 1 else group.title]
        for metric in ("max_dice", "dice"):
            best = best_thresholding(study, group, metric) if len(group.datasets) == 1 else None
            cells.append(
                f"{number(estimate(best[1]), interval=False)} {best[0]}" if best else "per dataset"
            )
            cells.append(number(estimate(study.metric(arm.name, group, own_post(arm), metric))))
            less = estimate(against_thresholding(study, arm.name, group, own_post(arm), metric))
            cells.append(change(less))
            cells.append(NOT_RUN if less is None else f"{less.above}/{less.people}")
        rows.append(cells)
    own = study.label(arm)
    return table(
        [
            own,
            "max Dice: best thresholding",
            "this",
            "difference",
            "wins",
            "Dice at val. threshold: best thresholding",
            "this",
            "difference",
            "wins",
        ],
        rows,
    )


def detector_sentence(study: Study, arm: Arm) -> str:
    """In how many datasets a detector is ahead of the best thresholding, per post-processing."""
    parts = []
    for post, mark in POSTS.items():
        counts = []
        for metric in ("max_dice", "dice"):
            found = [
                estimate(against_thresholding(study, arm.name, group, post, metric))
                for group in study.datasets
            ]
            ahead = sum(one is not None and one.mean > 0 for one in found)
            sure = sum(one is not None and one.low is not None and one.low > 0 for one in found)
            counts.append(f"{ahead} ({sure})")
        name = f"{arm.label}{mark}" if mark else f"{arm.label} without post-processing"
        parts.append(f"{name}: {counts[0]} in max Dice, {counts[1]} in Dice at the threshold")
    return (
        f"Datasets of {len(study.datasets)} in which its mean is higher (in brackets: with the "
        f"whole interval): {'; '.join(parts)}."
    )
