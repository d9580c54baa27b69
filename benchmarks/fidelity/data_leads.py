"""The leads about the data: normalisation, simulation, easy datasets, and odd scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from answers import LABELS, Answer, outcome
from effects import (
    Estimate,
    Verdict,
    all_of,
    difference,
    estimate,
    only,
    opposite,
    stacked,
    verdict,
)
from nibabel import load as load_image
from notation import NOT_RUN, change, listed, number, percent, table
from records import POSTS, Group, Post, Study

from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import load_published

NETWORKS = ("vae", "gmvae", "spa", "spa-beta-0", "dae")
LESION_LABELS = (25, 57)
"""FreeSurfer's lesions, left and right."""

MANY_VOXELS = 10_000
WHOLE = 0.8
"""A brain mask that covers less of the atlas's brain is cut."""


def normalisation(study: Study) -> Answer:
    """Lead 1."""
    claim = "Lead 1. Normalisation decides more than any network"
    rule = (
        "confirmed if, in the real patients, anchoring the median instead of scaling by "
        "percentiles lifts the AUPRC of thresholding and the AUPRC* of SPA by more than the "
        "largest difference in AUPRC* between two networks under one normalisation, the whole "
        "interval above it; overturned if both intervals are below it."
    )
    percentile, spread = study.percentile, _spread(study, study.real)
    saturated = (
        f"Share of lesion voxels at the top of the scale here: {_saturated(study, study.real)} in "
        f"real patients, {_saturated(study, study.simulated)} in simulated ones."
    )
    missing = (
        "To answer it, make a second pack with `--recipe "
        "benchmarks/fidelity/fidelity-percentile.yaml`, and run `thresholding` and `spa` on it "
        "into `RESULTS/percentile`."
    )
    if percentile is None or spread is None:
        return Answer(claim, NOT_RUN, "", rule, (missing, saturated))
    rows, verdicts, shown = [], [], []
    arms: tuple[tuple[str, Post], ...] = (("thresholding", "none"), ("spa", "star"))
    for arm, post in arms:
        for group in study.kinds:
            pair = [one.metric(arm, group, post, "auprc") for one in (study, percentile)]
            gain = estimate(difference(*pair))
            if group == study.real:
                verdicts.append(verdict(gain, spread[0]))
            name = f"{'SPA*' if arm == 'spa' else arm}, {group.title}"
            shown.append(f"{name}: {change(gain)}")
            rows.append([name, *(number(estimate(one)) for one in pair), change(gain)])
    return Answer(
        claim,
        outcome(all_of(verdicts)),
        f"Gain in AUPRC by anchoring the median: {'; '.join(shown)}. Largest difference between "
        f"two networks: {spread[0]:.2f}.",
        rule,
        (
            table(["AUPRC", "median anchored", "percentiles", "difference"], rows),
            f"Largest difference between two networks in the real patients: {spread[0]:.2f} "
            f"({spread[1]}). {saturated}",
        ),
    )


def _spread(study: Study, group: Group) -> tuple[float, str] | None:
    """The largest difference in mean AUPRC* between two networks, and which they are.

    ``None`` without the paper's three.
    """
    found = {
        arm: mean.mean
        for arm in NETWORKS
        if (mean := estimate(study.metric(arm, group, "star", "auprc"))) is not None
    }
    if not {"vae", "gmvae", "spa"} <= set(found):
        return None
    low, *_, high = sorted(found, key=found.__getitem__)
    return found[high] - found[low], f"{LABELS[high]} less {LABELS[low]}"


def _saturated(study: Study, group: Group) -> str:
    """Mean over patients of the share of lesion voxels at the highest intensity."""
    shares = []
    for label in group.datasets:
        dataset = study.pack.datasets[label]
        for scan in dataset.scans:
            rows = slice(scan.start, scan.stop)
            lesion = dataset.image[rows][dataset.lesion[rows] == 1]
            if len(lesion):
                shares.append(float((lesion == 65535).mean()))
    return f"{100 * sum(shares) / len(shares):.0f} %" if shares else "none"


def simulation(study: Study) -> Answer:
    """Lead 7."""
    networks = {arm: f"{LABELS[arm]}*" for arm in NETWORKS}
    arms = {"thresholding": "thresholding", **networks, "outlier": "outlier"}
    quiet = study.group("", [one for one in study.real.datasets if one != "brats"])
    rows, verdicts, shown = [], [], []
    for arm, name in arms.items():
        post: Post = "star" if arm in networks else "none"
        free = study.lesion_free(arm, post)
        calm = estimate(stacked([study.metric(arm, quiet, post, "fpr"), free]))
        rates = [estimate(study.metric(arm, one, post, "fpr")) for one in study.datasets]
        of_real = rates[: len(study.real.datasets)]
        simulated = estimate(study.metric(arm, study.simulated, post, "fpr"))
        cells = [calm, estimate(free), *of_real, simulated]
        rows.append([name, *(percent(rate) for rate in cells)])
        if arm in ("thresholding", "vae", "gmvae", "spa"):
            verdicts.append(opposite(verdict(calm, 0.01)))
            shown.append(f"{name} {percent(calm)}")
    people = (
        len(study.pack.datasets["lesion-free"].scans) if "lesion-free" in study.pack.datasets else 0
    )
    columns = [
        "all without tumour",
        f"lesion-free slices, {people} people",
        *(one.title for one in study.datasets[: len(study.real.datasets)]),
        study.simulated.title,
    ]
    return Answer(
        "Lead 7. The simulation is more variable than reality: thresholds carry over",
        outcome(all_of(verdicts)),
        "False positives in real tissue at the threshold that gives 1 % in validation, patients "
        f"without a tumour: {'; '.join(shown)}.",
        "the threshold gives 1 % false positives on simulated healthy validation scans. Confirmed "
        "if thresholding, VAE*, GMVAE* and SPA* give less than 1 % on the tissue outside the "
        f"lesions of the {quiet.people} real patients without a tumour and on the lesion-free "
        f"slices of {people} more; overturned if all give more.",
        (
            table(["false-positive rate", *columns], rows),
            "Tissue outside the marked lesion of a tumour patient is not healthy throughout, so "
            "BraTS is shown and does not decide.",
        ),
    )


def easy_brats(study: Study) -> Answer:
    """Lead 8."""
    claim = "Lead 8. BraTS is easy for thresholding, so it cannot rank methods"
    rule = (
        "confirmed if thresholding's AUPRC on the real BraTS patients lies above the paper's with "
        "its whole interval, and the networks differ less there in AUPRC* than on the real MSLUB "
        "patients; overturned if neither holds."
    )
    datasets = {one.datasets[0]: one for one in study.datasets}
    if not {"brats", "mslub"} <= set(datasets):
        return Answer(claim, NOT_RUN, "", rule, ())
    own: Estimate | None = estimate(
        study.metric("thresholding", datasets["brats"], "none", "auprc")
    )
    printed = next(
        one.value
        for one in load_published(BERCEA_2022)
        if (one.name, one.label, one.metric, one.postprocessing)
        == ("thresholding", "brats", "auprc", "none")
    )
    spreads = [_spread(study, datasets[name]) for name in ("brats", "mslub")]
    sizes = [one[0] for one in spreads if one is not None]
    less = Verdict.NOT_RUN
    if len(sizes) == 2:
        less = Verdict.YES if sizes[0] < sizes[1] else Verdict.NO
    texts = [NOT_RUN if one is None else f"{one[0]:.2f} ({one[1]})" for one in spreads]
    return Answer(
        claim,
        outcome(all_of([verdict(own, printed or 0.0), less])),
        f"AUPRC of thresholding {number(own)}; the paper {printed}. Largest difference between two "
        f"networks: {texts[0]} on BraTS, {texts[1]} on MSLUB.",
        rule,
        (),
    )


def odd_data(study: Study, anatomies: Path | None) -> Answer:
    """Lead 9."""
    lesions = {} if anatomies is None else _lesion_labels(anatomies)
    cover = _coverage(study)
    tumours = {person: share for person, share in cover.items() if person.startswith("brats/")}
    cut = [person for person, share in tumours.items() if share < WHOLE]
    verdicts = [Verdict.NOT_RUN if anatomies is None else _yes(sum(lesions.values()) > 0)]
    verdicts.append(_yes(len(cut) == 1) if tumours else Verdict.NOT_RUN)
    many = {name: count for name, count in lesions.items() if count > MANY_VOXELS}
    labels = "`page --anatomies DIR` counts the lesion labels"
    if anatomies is not None:
        labels = (
            f"{sum(count > 0 for count in lesions.values())} of {len(lesions)} label maps have "
            f"lesion labels, {min(lesions.values(), default=0):,} to "
            f"{max(lesions.values(), default=0):,} voxels; {len(many)} more than {MANY_VOXELS:,}"
        )
    fields = listed([f"{person.split('/')[1]} {100 * tumours[person]:.0f} %" for person in cut])
    others = [share for person, share in tumours.items() if person not in cut]
    whole = f"; the other BraTS patients at least {100 * min(others):.0f} %" if others else ""
    rows = []
    for arm, post in (("thresholding", "none"), ("spa", "star"), ("outlier", "none")):
        if "brats" not in study.real.datasets:
            break
        every = study.metric(arm, study.group("", ["brats"]), post, "auprc")
        rest = only(every, [person for person in tumours if person not in cut])
        name = f"{arm.replace('spa', 'SPA')}{POSTS[post]}"
        rows.append([name, number(estimate(every)), number(estimate(rest))])
    return Answer(
        "Lead 9. Label maps carry lesion labels; one BraTS case has a truncated field of view",
        outcome(all_of(verdicts)),
        f"{labels}. Share of the atlas's brain that is inside the brain mask: "
        f"{fields or 'no BraTS patient is cut'}{whole}.",
        f"confirmed if a label map has voxels of {' or '.join(map(str, LESION_LABELS))}, and the "
        f"brain mask of just one BraTS patient covers less than {100 * WHOLE:.0f} % of where the "
        "atlas expects tissue; overturned if neither holds. The simulation counts these labels as "
        "white matter.",
        (
            table(["AUPRC on BraTS (real)", "all", "without the one that is cut"], rows),
            "Coverage of the other real patients: "
            + (
                listed(
                    [
                        f"{person.split('/')[1]} {100 * share:.0f} %"
                        for person, share in cover.items()
                        if person not in tumours
                    ]
                )
                or "none"
            )
            + ".",
        ),
    )


def _yes(holds: bool) -> Verdict:
    return Verdict.YES if holds else Verdict.NO


def _lesion_labels(anatomies: Path) -> dict[str, int]:
    """Voxels with a lesion label, per label map."""
    found = {}
    for file in sorted(anatomies.glob("*.nii.gz")):
        labels = np.rint(np.asarray(load_image(file).dataobj))
        found[file.name] = int(np.isin(labels, LESION_LABELS).sum())
    return found


def _coverage(study: Study) -> dict[str, float]:
    """Share of the voxels where the atlas expects tissue that lie in each real patient's brain."""
    tissue = study.pack.prior.mean[:-1].sum(axis=0) > 0.5
    found: dict[str, float] = {}
    for label in study.real.datasets:
        dataset = study.pack.datasets[label]
        for scan in dataset.scans:
            rows = slice(scan.start, scan.stop)
            inside = int((dataset.brain[rows] & tissue[dataset.z[rows]]).sum())
            found.setdefault(f"{label}/{scan.subject}", inside / int(tissue.sum()))
    return found
