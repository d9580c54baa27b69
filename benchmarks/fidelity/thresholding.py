"""The best variant of thresholding, and detectors against it."""

from __future__ import annotations

from effects import Values, difference, estimate, stacked
from records import POSTS, Group, Post, Study


def best_thresholding(study: Study, dataset: Group, metric: str) -> tuple[str, Values] | None:
    """The variant and post-processing of thresholding with the highest mean in a dataset.

    It is chosen on the test patients themselves, which favours thresholding.
    """
    found = []
    for arm in study.arms:
        if arm.method != "thresholding":
            continue
        for post, mark in POSTS.items():
            values = study.metric(arm.name, dataset, post, metric)
            mean = estimate(values)
            if values is not None and mean is not None:
                name = f"{arm.params.get('variant', 'raw')}{mark}"
                found.append((mean.mean, name, values))
    if not found:
        return None
    _, name, values = max(found, key=lambda one: one[0])
    return name, values


def against_thresholding(
    study: Study, arm: str, group: Group, post: Post, metric: str
) -> Values | None:
    """An arm less the best variant of thresholding, which is chosen anew for each dataset."""
    parts = []
    for label in group.datasets:
        dataset = study.group("", [label])
        best = best_thresholding(study, dataset, metric)
        values = study.metric(arm, dataset, post, metric)
        parts.append(None if best is None else difference(values, best[1]))
    return stacked(parts)
