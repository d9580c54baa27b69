"""The paper's four claims and the goal beyond it, each answered by a stated rule."""

from __future__ import annotations

import numpy as np
import pandas as pd

from uad_bench.evaluation.latent import TISSUES
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import load_published

from . import effects
from .answers import Answer, answer, beyond_thresholding, by_kind
from .arms import DETECTORS, Arm, short
from .effects import Values, Verdict, all_of, difference, estimate, opposite, verdict
from .notation import change, number
from .records import UNSEEN, Study

NAMED = (
    *("spa", "spa-beta-0", "spa-perceptual", "spa-perceptual-softmax", "spa-paper", "spa-long"),
    *("vae", "vae-long", "gmvae", "gmvae-long", "dae", "control-mean", "control-black"),
)
"""Arms that the answers name, in the order of their rows."""


def answer_claims(study: Study) -> tuple[Answer, ...]:
    """Answer all four."""
    return disentangles(study), forgets_lesions(study), ranks(study), thresholding_wins(study)


def answer_goals(study: Study) -> tuple[Answer, ...]:
    """Whether each new detector beats the best thresholding on every dataset."""
    return tuple(beats_thresholding(study, arm) for arm in DETECTORS)


def latent_dice(study: Study, arm: str) -> list[Values | None]:
    """Dice of an arm's latent maps on the unseen healthy people: each tissue, and their mean."""
    return _with_mean([study.values(arm, UNSEEN, f"dice_{name}") for name in TISSUES])


def atlas_dice(study: Study, told: str = "") -> list[Values | None]:
    """The same of the atlas prior itself."""
    parts = (
        {f"unseen/{who}": dice.get(f"{tissue}{told}") for who, dice in study.facts.atlas.items()}
        for tissue in TISSUES
    )
    return _with_mean([effects.arranged({effects.FIXED: part}) for part in parts])


def _with_mean(tissues: list[Values | None]) -> list[Values | None]:
    parts = [part for part in tissues if part is not None]
    if len(parts) < len(tissues):
        return [*tissues, None]
    mean = np.mean([part.to_numpy() for part in parts], axis=0)
    return [*tissues, Values(mean, index=parts[0].index, columns=parts[0].columns)]


def disentangles(study: Study) -> Answer:
    """Claim (i)."""
    variants = ("spa-perceptual", "spa-perceptual-softmax", "spa-paper", "spa-long")
    arms = ("spa", *(arm for arm in variants if study.has(arm)))
    latents = {short(arm): latent_dice(study, arm) for arm in arms}
    references = {
        "beta 0 (control)": latent_dice(study, "spa-beta-0"),
        "the atlas prior": atlas_dice(study),
    }
    told = {"the atlas prior, told the brain mask": atlas_dice(study, "told")}
    dice = {
        name: [estimate(one) for one in of] for name, of in (latents | references | told).items()
    }
    differences, verdicts, sides = {}, [], []
    for name, own in latents.items():
        above = {}
        for reference, other in references.items():
            less = [estimate(difference(*pair)) for pair in zip(own, other, strict=True)]
            differences[f"{name} less {reference}"] = less
            above[reference] = verdict(less[-1])
        verdicts.append(all_of(above.values()))
        reasons = ", ".join(f"above {reference}: {one}" for reference, one in above.items())
        sides.append(f"{name}: **{verdicts[-1]}** ({reasons})")
    return answer(
        "tissues",
        study,
        verdicts[0],
        means="; ".join(f"{name} {number(dice[name][-1])}" for name in (*latents, *references)),
        sides="; ".join(sides),
        dice=dice,
        differences=differences,
    )


def forgets_lesions(study: Study) -> Answer:
    """Claim (ii)."""
    half, fewer, sharper = {}, {}, {}
    for arm in ("spa", "spa-paper"):
        kept = (study.mean(arm, kind, "kept") for kind in study.kinds)
        half[arm] = all_of(opposite(verdict(one, 0.5)) for one in kept)
    others = ("vae", "gmvae", "spa-beta-0", "dae")
    for arm in others:
        kept = (study.gain("spa", arm, kind, "kept") for kind in study.kinds)
        fewer[arm] = all_of(opposite(verdict(one)) for one in kept)
        ratio = (study.gain("spa", arm, kind, "ratio") for kind in study.kinds)
        sharper[arm] = all_of(map(verdict, ratio))
    return answer(
        "lesions",
        study,
        all_of([half["spa"], sharper["vae"], sharper["gmvae"]]),
        half=half,
        fewer=fewer,
        sharper=sharper,
        others=others,
        named=[arm for arm in NAMED if study.has(arm)],
    )


def ranks(study: Study) -> Answer:
    """Claim (iii)."""
    groups = (*(one for one in study.datasets if "(real)" in one.title), *study.kinds)
    pairs = (
        (("spa", ""), ("gmvae", "")),
        (("gmvae", ""), ("vae", "")),
        (("spa", "*"), ("spa", "")),
        (("spa", "*"), ("gmvae", "*")),
        (("gmvae", "*"), ("vae", "*")),
    )
    rows, shown = [], []
    for longer in ("", "-long") if study.has("spa-long") else ("",):
        for pair in pairs:
            name = " less ".join(short(f"{arm}{longer}", mark) for arm, mark in pair)
            less = []
            for group in groups:
                both = (study.values(f"{arm}{longer}", group, f"auprc{mark}") for arm, mark in pair)
                less.append(estimate(difference(*both)))
            of_kinds = less[-len(study.kinds) :]
            rows.append((name, less, all_of(map(verdict, of_kinds))))
            shown.append(f"{name} {by_kind(map(change, of_kinds), study)}")
    verdicts = [found for _, _, found in rows]
    return answer(
        "ranking",
        study,
        all_of(verdicts[:3]),
        short_run="; ".join(shown[:3]),
        long_run="; ".join(shown[5:8]),
        longer=all_of(verdicts[5:8]),
        groups=groups,
        rows=rows,
        named=NAMED,
    )


def thresholding_wins(study: Study) -> Answer:
    """Claim (iv)."""
    ahead = {}
    for metric in ("max_dice", "auprc"):
        less = [beyond_thresholding(study, "spa", group, metric) for group in study.datasets]
        ahead[metric] = sum(one is not None and one.mean < 0 for one in less)
    gains = [beyond_thresholding(study, "spa", kind, "max_dice") for kind in study.kinds]
    return answer(
        "thresholding",
        study,
        all_of(opposite(verdict(one)) for one in gains),
        gains=by_kind(map(change, gains), study),
        ahead=ahead,
        paper=_in_the_paper(),
    )


def _in_the_paper() -> str:
    """In how many datasets thresholding is ahead of SPA* in the paper's printed tables."""
    printed = pd.DataFrame([one.model_dump() for one in load_published(BERCEA_2022)])
    of_spa = printed[(printed.name == "spa") & (printed.postprocessing == "star")]
    best, spa = (
        one.groupby(["metric", "label"]).value.max()
        for one in (printed[printed.name == "thresholding"], of_spa)
    )
    counts = []
    for metric in ("max_dice", "auprc"):
        ahead = (best[metric] - spa[metric]).dropna() > 0
        counts.append(f"{ahead.sum()} of {len(ahead)}")
    return " and ".join(counts)


def beats_thresholding(study: Study, arm: Arm) -> Answer:
    """The goal beyond the paper."""
    metrics = {"max_dice": "max Dice", "dice": "Dice at the validation threshold"}
    shown, verdicts, everywhere = [], list[Verdict](), True
    for metric, name in metrics.items():
        pooled, each = (
            [beyond_thresholding(study, arm.name, group, metric) for group in groups]
            for groups in (study.kinds, study.datasets)
        )
        verdicts += map(verdict, pooled)
        ahead = sum(one is not None and one.mean > 0 for one in each)
        everywhere = everywhere and ahead == len(each)
        gains = by_kind(map(change, pooled), study)
        shown.append(f"{name} {gains}, ahead in {ahead} of {len(each)} datasets")
    found = all_of(verdicts)
    if found == Verdict.YES and not everywhere:
        found = Verdict.UNCLEAR
    return answer("goal", study, found, arm=arm.label, shown="; in ".join(shown))
