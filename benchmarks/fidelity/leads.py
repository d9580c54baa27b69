"""The nine leads of an earlier short trial, each confirmed or overturned by a stated rule.

Those about training and scores are here, those about the data in ``data_leads``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from answers import LABELS, Answer, by_kind, outcome
from data_leads import easy_brats, normalisation, odd_data, simulation
from effects import Values, Verdict, all_of, difference, estimate, only, opposite, verdict
from notation import NOT_RUN, change, number, table
from numpy.typing import NDArray
from records import Group, Post, Study

from uad_bench.models.perceptual import LITE0_SCALES, load_lite0

SMALL_ML = 5.0
"""Patients with less lesion than this count as patients with small lesions."""


def answer_leads(study: Study, anatomies: Path | None) -> tuple[Answer, ...]:
    """Answer all nine.

    Args:
        study: the results.
        anatomies: the label maps that the simulated people were made from, if they are at hand.
    """
    return (
        normalisation(study),
        self_supervision(study),
        total_variation(study),
        collapse(study),
        perceptual_scale(study),
        median_3d(study),
        simulation(study),
        easy_brats(study),
        odd_data(study, anatomies),
    )


def _auprc(study: Study, arm: str, group: Group, post: Post) -> Values | None:
    return study.metric(arm, group, post, "auprc")


def self_supervision(study: Study) -> Answer:
    """Lead 2."""
    rows, verdicts, shown = [], [], []
    for arm in ("spa", "vae", "gmvae"):
        cells, gains = [LABELS[arm]], []
        for group in study.kinds:
            pair = [_auprc(study, one, group, "star") for one in (arm, f"{arm}-plain")]
            less = estimate(difference(*pair))
            kept = [study.contrast(one, group, "kept") for one in (arm, f"{arm}-plain")]
            verdicts.append(verdict(less))
            gains.append(change(less))
            cells += [change(less), change(estimate(difference(*kept)))]
        rows.append(cells)
        shown.append(f"{LABELS[arm]} {by_kind(gains, study)}")
    head = ["with rectangles less without"]
    for group in study.kinds:
        head += [f"AUPRC*, {group.title}", "kept"]
    noise = [
        change(
            estimate(
                difference(
                    _auprc(study, "spa-noise", group, "star"), _auprc(study, "spa", group, "star")
                )
            )
        )
        for group in study.kinds
    ]
    return Answer(
        "Lead 2. Self-supervision decides next: it turns a copier into a detector",
        outcome(all_of(verdicts)),
        f"What rectangles add to AUPRC*: {'; '.join(shown)}.",
        "confirmed if rectangles raise the AUPRC* of SPA, VAE and GMVAE, in real and in simulated "
        "patients; overturned if they lower all.",
        (
            table(head, rows),
            f"SPA with coarse noise less SPA with rectangles, AUPRC*: {by_kind(noise, study)}.",
        ),
    )


def total_variation(study: Study) -> Answer:
    """Lead 3."""
    less = {
        name: estimate(difference(study.healthy("spa-tv-1", name), study.healthy("spa", name)))
        for name in ("l1_brain", "ssim")
    }
    gain = [
        change(
            estimate(
                difference(*(_auprc(study, one, group, "star") for one in ("spa-tv-1", "spa")))
            )
        )
        for group in study.kinds
    ]
    return Answer(
        "Lead 3. A TV weight of 1 flattens the brain",
        outcome(all_of([verdict(less["l1_brain"]), opposite(verdict(less["ssim"]))])),
        "TV 1 less TV 0.1 on healthy people: L1 in the brain "
        f"{change(less['l1_brain'], digits=3)}, SSIM {change(less['ssim'], digits=3)}.",
        "confirmed if TV 1 raises the L1 inside healthy brains and lowers their SSIM, against the "
        "weight of 0.1; overturned if it does the reverse of both.",
        (f"Its AUPRC* less that of TV 0.1: {by_kind(gain, study)}.",),
    )


def collapse(study: Study) -> Answer:
    """Lead 4."""
    worst: dict[str, float] = {}
    for metric in ("auprc", "dice"):
        for group in study.kinds:
            less = difference(
                *(
                    study.metric(arm, group, "none", metric)
                    for arm in ("control-black", "thresholding")
                )
            )
            if less is not None:
                size = max((abs(value) for value in less.per_person.values()), default=0.0)
                worst[metric] = max(size, worst.get(metric, 0.0))
    equal = Verdict.YES if worst and worst["auprc"] < 1e-3 else Verdict.NO
    rows = []
    for arm in ("control-black", "control-mean", "spa-beta-0", "dae"):
        cells = [f"SPA less {LABELS[arm]}"]
        for group in study.kinds:
            for metric in ("auprc", "dice"):
                pair = (study.metric(one, group, "star", metric) for one in ("spa", arm))
                cells.append(change(estimate(difference(*pair))))
        l1 = difference(study.healthy("spa", "l1_brain"), study.healthy(arm, "l1_brain"))
        rows.append([*cells, change(estimate(l1), digits=3)])
    head = ["control"]
    for group in study.kinds:
        head += [f"AUPRC*, {group.title}", "Dice at val. threshold*"]
    sizes = (
        f"Largest difference of any patient: {worst['auprc']:.4f} in AUPRC, {worst['dice']:.4f} in "
        "Dice at the validation threshold. Only the healthy error tells them apart."
        if worst
        else ""
    )
    return Answer(
        "Lead 4. AUPRC alone rewards collapse: a black output scores like thresholding",
        outcome(equal) if worst else NOT_RUN,
        sizes,
        "confirmed if black and thresholding differ by less than 0.001 in AUPRC, without "
        "post-processing, in every patient; else overturned.",
        (table([*head, "L1 in healthy brain"], rows),),
    )


def perceptual_scale(study: Study) -> Answer:
    """Lead 5."""
    rows = []
    for group in study.kinds:
        pair = [_auprc(study, one, group, "star") for one in ("spa-perceptual", "spa")]
        rows.append(change(estimate(difference(*pair))))
    likeness = [study.healthy(one, "ssim") for one in ("spa-perceptual", "spa")]
    layers, l1 = _raw_distance(study)
    raw, scaled = np.mean(layers), np.mean(layers / np.array(LITE0_SCALES))
    shares = [0.1 * distance / l1 for distance in (raw, scaled)]
    found = Verdict.UNCLEAR
    if shares[0] > TOO_STRONG:
        found = Verdict.YES
    elif shares[0] < 1:
        found = Verdict.NO
    listed_layers = ", ".join(f"{layer:.2g}" for layer in layers)
    return Answer(
        "Lead 5. The raw perceptual distance is 10 to 240, so it must be scaled per layer",
        outcome(found),
        f"Mean squared difference of the four layers between healthy slices and a flat brain: "
        f"{listed_layers}; their mean is {raw:.0f}. With weight 0.1 the raw term is "
        f"{shares[0]:.0f} times L1, the scaled one {shares[1]:.1f} times.",
        f"confirmed if 0.1 times the raw distance between healthy slices and a brain of 0.5, where "
        f"training starts, is more than {TOO_STRONG} times their L1; overturned if it is less than "
        "L1.",
        (
            f"A perceptual weight of 0.1 changes SPA's AUPRC* by {by_kind(rows, study)} and its "
            f"SSIM on healthy people by {change(estimate(difference(*likeness)), digits=3)}.",
        ),
    )


TOO_STRONG = 10
"""A term that starts at more than so many times L1 drowns it."""

_DISTANCE_SLICES = 32


def _raw_distance(study: Study) -> tuple[NDArray[np.float64], float]:
    """Squared feature difference per layer of EfficientNet-Lite0, and L1, to a flat brain."""
    dataset = study.pack.datasets["unseen"]
    rows = np.linspace(0, len(dataset.image) - 1, _DISTANCE_SLICES).round().astype(np.int64)
    slices = dataset.slices(np.unique(rows), study.pack.spacing)
    image, flat = torch.from_numpy(slices.image), 0.5 * torch.from_numpy(slices.brain).float()
    network = load_lite0("cpu")
    with torch.inference_mode():
        pairs = zip(network.features(image), network.features(flat), strict=True)
        layers = [float((one - other).square().mean()) for one, other in pairs]
    return np.array(layers), float((image - flat).abs().mean())


def lesion_ml(study: Study, group: Group) -> dict[str, float]:
    """Volume of lesion of every patient."""
    voxel = study.pack.spacing[0] * study.pack.spacing[1] * study.pack.spacing[2] / 1000.0
    found: dict[str, float] = {}
    for label in group.datasets:
        dataset = study.pack.datasets[label]
        for scan in dataset.scans:
            size = int((dataset.lesion[scan.start : scan.stop] == 1).sum()) * voxel
            found.setdefault(f"{label}/{scan.subject}", size)
    return found


def median_3d(study: Study) -> Answer:
    """Lead 6."""
    everyone = study.group("", [*study.real.datasets, *study.simulated.datasets])
    volumes = lesion_ml(study, everyone)
    small = [person for person, volume in volumes.items() if volume < SMALL_ML]
    large = [person for person in volumes if person not in small]
    rows, verdicts, shown = [], [], []
    for arm, name in (("thresholding", "thresholding"), ("spa", "SPA")):
        pair = [_auprc(study, arm, everyone, post) for post in ("star3d", "star")]
        less = difference(*pair)
        verdicts.append(opposite(verdict(estimate(only(less, small)))))
        cells = [name, *(number(estimate(only(one, small))) for one in reversed(pair))]
        shown.append(f"{name} {change(estimate(only(less, small)))}")
        rows.append(
            [*cells, change(estimate(only(less, small))), change(estimate(only(less, large)))]
        )
    return Answer(
        "Lead 6. A median of 3 x 3 x 3 voxels erases small lesions",
        outcome(all_of(verdicts)),
        f"AUPRC of *3D less * where lesions are small: {', '.join(shown)}.",
        f"confirmed if *3D less * is below 0 in AUPRC for thresholding and for SPA, in the "
        f"{len(small)} patients (real and simulated) with less than {SMALL_ML:g} ml of lesion; "
        "overturned if above 0 for both.",
        (
            table(
                [
                    f"AUPRC, under {SMALL_ML:g} ml",
                    "*",
                    "*3D",
                    "difference",
                    f"difference, {len(large)} patients with more",
                ],
                rows,
            ),
        ),
    )
