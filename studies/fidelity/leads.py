"""The nine leads of an earlier short trial, each confirmed or overturned by a stated rule."""

from __future__ import annotations

import numpy as np

from uad_bench.models.losses.perceptual import LITE0_SCALES
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import load_published

from .answers import Answer, answer
from .arms import short
from .effects import Verdict, all_of, difference, estimate, only, opposite, per_person, verdict
from .notation import NOT_RUN, listed
from .records import LESION_FREE, UNSEEN, Group, Study

NETWORKS = ("vae", "gmvae", "spa", "spa-beta-0", "dae")
SMALL_ML = 5.0  # patients with less lesion than this have small lesions
TOO_STRONG = 10  # a term that starts at more than so many times L1 drowns it
WHOLE = 0.8  # a brain mask that covers less of the atlas's brain is cut


def answer_leads(study: Study) -> tuple[Answer, ...]:
    """Answer all nine."""
    of_training = (normalisation, self_supervision, total_variation, collapse, perceptual_scale)
    of_data = (median_3d, simulation, easy_brats, odd_data)
    return tuple(lead(study) for lead in (*of_training, *of_data))


def _yes(holds: bool) -> Verdict:
    return Verdict.YES if holds else Verdict.NO


def _spread(study: Study, group: Group) -> tuple[float, str] | None:
    """The largest difference in mean AUPRC* between two networks, and which they are.

    ``None`` without the paper's three.
    """
    means = {arm: study.mean(arm, group, "auprc*") for arm in NETWORKS}
    found = {arm: mean.mean for arm, mean in means.items() if mean is not None}
    if not {"vae", "gmvae", "spa"} <= set(found):
        return None
    low, *_, high = sorted(found, key=found.__getitem__)
    return found[high] - found[low], f"{short(high)} less {short(low)}"


def normalisation(study: Study) -> Answer:
    """Lead 1."""
    spread, other = _spread(study, study.real), study.percentile
    gains, verdicts = [], [Verdict.NOT_RUN]
    if other and spread:
        columns = (("thresholding", ""), ("spa", "*"))
        for arm, mark, group in ((*one, group) for one in columns for group in study.kinds):
            both = [one.values(arm, group, f"auprc{mark}") for one in (study, other)]
            means, gain = [estimate(one) for one in both], estimate(difference(*both))
            gains.append((f"{short(arm, mark)}, {group.title}", means, gain))
        verdicts = [verdict(one, spread[0]) for name, _, one in gains if study.real.title in name]
    shares = {}  # of lesion voxels at the highest intensity, mean over patients
    for kind, group in (("real", study.real), ("simulated", study.simulated)):
        known = [one.saturated for one in study.patients(group).values()]
        some = [one for one in known if one is not None]
        shares[kind] = f"{100 * sum(some) / len(some):.0f} %" if some else "none"
    shown = spread and (f"{spread[0]:.2f}", spread[1])
    return answer("normalisation", study, all_of(verdicts), gains=gains, spread=shown, **shares)


def self_supervision(study: Study) -> Answer:
    """Lead 2."""
    added = [
        study.gain(arm, f"{arm}-plain", kind, "auprc*")
        for arm in ("spa", "vae", "gmvae")
        for kind in study.kinds
    ]
    return answer("self_supervision", study, all_of(map(verdict, added)))


def total_variation(study: Study) -> Answer:
    """Lead 3."""
    l1, ssim = (study.gain("spa-tv-1", "spa", UNSEEN, name) for name in ("l1_brain", "ssim"))
    return answer("total_variation", study, all_of([verdict(l1), opposite(verdict(ssim))]))


def collapse(study: Study) -> Answer:
    """Lead 4."""
    everyone = Group("", (*study.real.datasets, *study.simulated.datasets))
    worst = {}
    for metric in ("auprc", "dice"):
        pair = (study.values(arm, everyone, metric) for arm in ("control-black", "thresholding"))
        less = difference(*pair)
        if less is not None:
            worst[metric] = max(map(abs, per_person(less).values()), default=0.0)
    found = _yes(worst["auprc"] < 1e-3) if worst else Verdict.NOT_RUN
    return answer("collapse", study, found, worst=worst)


def perceptual_scale(study: Study) -> Answer:
    """Lead 5."""
    layers = np.array(study.facts.distance)
    mean, l1 = float(np.mean(layers)), study.facts.flat_l1
    raw, scaled = 0.1 * mean / l1, 0.1 * float(np.mean(layers / np.array(LITE0_SCALES))) / l1
    found = Verdict.UNCLEAR if 1 <= raw <= TOO_STRONG else _yes(raw > TOO_STRONG)
    facts = {"mean": mean, "raw": raw, "scaled": scaled, "limit": TOO_STRONG}
    shown = ", ".join(f"{layer:.2g}" for layer in layers)
    return answer("perceptual", study, found, layers=shown, **facts)


def median_3d(study: Study) -> Answer:
    """Lead 6."""
    everyone = Group("", (*study.real.datasets, *study.simulated.datasets))
    volumes = {person: one.lesion_ml for person, one in study.patients(everyone).items()}
    small = [person for person, volume in volumes.items() if volume < SMALL_ML]
    large = [person for person in volumes if person not in small]
    rows = []
    for arm in ("thresholding", "spa"):
        flat, solid = (study.values(arm, everyone, f"auprc{mark}") for mark in ("*", "*3D"))
        less = difference(solid, flat)
        of_small = [estimate(only(one, small)) for one in (flat, solid, less)]
        rows.append([*of_small, estimate(only(less, large))])
    found = all_of(opposite(verdict(row[2])) for row in rows)
    facts = {"small": len(small), "large": len(large), "limit": f"{SMALL_ML:g}"}
    return answer("median_3d", study, found, rows=rows, **facts)


def simulation(study: Study) -> Answer:
    """Lead 7."""
    quiet = study.group("", [one for one in study.real.datasets if one != "brats"])
    calm = Group("all without tumour", (*quiet.datasets, *LESION_FREE.datasets))
    free = Group(f"lesion-free slices, {len(study.facts.lesion_free)} people", LESION_FREE.datasets)
    real = [one for one in study.datasets if "(real)" in one.title]
    deciding = (("thresholding", ""), ("vae", "*"), ("gmvae", "*"), ("spa", "*"))
    rates = (study.mean(arm, calm, f"fpr{mark}") for arm, mark in deciding)
    found = all_of(opposite(verdict(one, 0.01)) for one in rates)
    groups = (calm, free, *real, study.simulated)
    facts = {"groups": groups, "quiet": quiet.people, "deciding": deciding}
    others = (("spa-beta-0", "*"), ("dae", "*"), ("outlier", ""))
    return answer("simulation", study, found, others=others, **facts)


def easy_brats(study: Study) -> Answer:
    """Lead 8."""
    brats, mslub = (Group("", (name,)) for name in ("brats", "mslub"))
    own = study.mean("thresholding", brats, "auprc")
    every = load_published(BERCEA_2022)
    cells = {(one.name, one.label, one.metric, one.postprocessing): one.value for one in every}
    printed = cells["thresholding", "brats", "auprc", "none"] or 0.0
    spreads = [_spread(study, group) for group in (brats, mslub)]
    sizes = [one[0] for one in spreads if one]
    less = _yes(sizes[0] < sizes[1]) if len(sizes) == 2 else Verdict.NOT_RUN
    texts = [f"{one[0]:.2f} ({one[1]})" if one else NOT_RUN for one in spreads]
    found = all_of([verdict(own, printed), less])
    facts = {"brats": texts[0], "mslub": texts[1]}
    return answer("easy_brats", study, found, own=own, printed=printed, **facts)


def odd_data(study: Study) -> Answer:
    """Lead 9."""
    maps = list(study.facts.label_maps.values())
    having = sum(count > 0 for count in maps)
    cover = {person: one.coverage for person, one in study.patients(study.real).items()}
    shares = {who: f"{who.split('/')[1]} {100 * share:.0f} %" for who, share in cover.items()}
    tumours = [person for person in cover if person.startswith("brats/")]
    whole = [person for person in tumours if cover[person] >= WHOLE]
    cut = [shares[person] for person in tumours if person not in whole]
    rows = {}
    for arm, mark in (("thresholding", ""), ("spa", "*"), ("outlier", "")):
        every = study.values(arm, Group("", ("brats",)), f"auprc{mark}")
        rows[short(arm, mark)] = [estimate(one) for one in (every, only(every, whole))]
    least = 100 * min((cover[person] for person in whole), default=1.0)
    facts = {
        "having": having,
        "maps": maps,
        "many": sum(count > 10_000 for count in maps),
        "cut": listed(cut) if cut else "no BraTS patient is cut",
        "whole": f"; the other BraTS patients at least {least:.0f} %" if whole else "",
        "limit": f"{100 * WHOLE:.0f}",
        "rest": listed([text for person, text in shares.items() if person not in tumours]),
    }
    found = all_of([_yes(having > 0), _yes(len(cut) == 1)])
    return answer("odd_data", study, found, rows=rows, **facts)
