"""The paper's four claims, each answered by a stated rule."""

from __future__ import annotations

import numpy as np
from answers import LABELS, Answer, by_kind
from effects import Values, Verdict, all_of, combined, difference, estimate, opposite, verdict
from notation import NOT_RUN, change, number, table
from pack import Pack
from records import POSTS, Post, Study
from thresholding import against_thresholding, best_thresholding

from uad_bench.evaluation.latent import tissue_dice
from uad_bench.method import TISSUES
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import load_published


def answer_claims(study: Study) -> tuple[Answer, ...]:
    """Answer all four."""
    return (disentangles(study), forgets_lesions(study), ranks(study), thresholding_wins(study))


def prior_dice(pack: Pack, *, brain_known: bool) -> dict[str, Values | None]:
    """Dice of the atlas prior itself on the unseen healthy people, by tissue.

    Every pixel of the brain gets the tissue that is most frequent at its place in the training
    subjects; with ``brain_known`` never the background.
    """
    dataset = pack.datasets["unseen"]
    found: dict[str, dict[str, float | None]] = {name: {} for name in TISSUES[:-1]}
    for scan in dataset.scans:
        rows = slice(scan.start, scan.stop)
        maps = pack.prior.mean[:, dataset.z[rows]].transpose(1, 0, 2, 3).copy()
        if brain_known:
            maps[:, -1] = -1
        dice = tissue_dice(maps, dataset.tissue[rows], dataset.brain[rows, None])
        for name, of in found.items():
            of[f"unseen/{scan.subject}"] = dice.get(name)
    return {name: combined({None: of}) for name, of in found.items()}


def latent_dice(study: Study, arm: str) -> dict[str, Values | None]:
    """Dice of an arm's latent maps on the unseen healthy people, by tissue."""
    return {name: study.healthy(arm, f"dice_{name}") for name in TISSUES[:-1]}


def over_tissues(by_tissue: dict[str, Values | None]) -> Values | None:
    """Mean over the tissues, per person and seed."""
    parts = [part for part in by_tissue.values() if part is not None]
    if len(parts) < len(by_tissue):
        return None
    return Values(parts[0].people, parts[0].seeds, np.mean([part.table for part in parts], axis=0))


def disentangles(study: Study) -> Answer:
    """Claim (i)."""
    variants = ("spa-perceptual", "spa-perceptual-softmax", "spa-paper", "spa-long")
    arms = ("spa", *(arm for arm in variants if study.has(arm)))
    latents = {LABELS[arm]: latent_dice(study, arm) for arm in arms}
    references = {
        "beta 0 (control)": latent_dice(study, "spa-beta-0"),
        "the atlas prior": prior_dice(study.pack, brain_known=False),
    }
    told = {"the atlas prior, told the brain mask": prior_dice(study.pack, brain_known=True)}
    means, rows = {}, []
    for name, dice in (latents | references | told).items():
        found = [number(estimate(one)) for one in (*dice.values(), over_tissues(dice))]
        means[name] = found[-1]
        rows.append([name, *found])
    verdicts, shown = {}, []
    for name, own in latents.items():
        above = {}
        for reference, other in references.items():
            less = [estimate(difference(own[tissue], other[tissue])) for tissue in own]
            less.append(estimate(difference(over_tissues(own), over_tissues(other))))
            rows.append([f"{name} less {reference}", *(change(one) for one in less)])
            above[reference] = verdict(less[-1])
        sides = ", ".join(f"above {reference}: {one}" for reference, one in above.items())
        verdicts[name] = all_of(above.values())
        shown.append(f"{name}: **{verdicts[name]}** ({sides})")
    return Answer(
        "(i) SPA disentangles the tissues",
        verdicts[LABELS["spa"]],
        "Mean tissue Dice on unseen healthy people: "
        f"{'; '.join(f'{name} {means[name]}' for name in (*latents, *references))}. "
        f"{'; '.join(shown)}.",
        "yes if the mean Dice of CSF, GM and WM on the unseen healthy people is above both that of "
        "the control and that of the atlas prior, no if it is below both; the heading is about "
        "the first row, the package's defaults are those with the perceptual term and the softmax. "
        "A latent that scores like the prior "
        "has learnt where tissues usually are, and nothing about the person.",
        (
            table(["Dice", *TISSUES[:-1], "mean"], rows),
            "Every pixel of the brain mask gets the map with the highest value of the four; the "
            "prior gets the same rule. The control's maps have no names: its row says how well "
            "they happen to match, not how well the best matching would.",
        ),
    )


def forgets_lesions(study: Study) -> Answer:
    """Claim (ii)."""
    half = {
        arm: all_of(opposite(verdict(estimate(one), 0.5)) for one in _kept(study, arm))
        for arm in ("spa", "spa-paper")
    }
    others = ("vae", "gmvae", "spa-beta-0", "dae")
    fewer, sharper = {}, {}
    less = []
    for arm in others:
        cells, kept, ratio = [f"SPA less {LABELS[arm]}"], [], []
        pairs = zip(
            zip(_kept(study, "spa"), _kept(study, arm), strict=True),
            zip(_error_ratio(study, "spa"), _error_ratio(study, arm), strict=True),
            strict=True,
        )
        for of_kept, of_ratio in pairs:
            kept.append(estimate(difference(*of_kept)))
            ratio.append(estimate(difference(*of_ratio)))
            cells += [change(kept[-1]), change(ratio[-1], digits=1)]
        fewer[arm] = all_of(opposite(verdict(one)) for one in kept)
        sharper[arm] = all_of(verdict(one) for one in ratio)
        less.append([*cells, ""])
    rows = []
    for arm, label in LABELS.items():
        if arm == "control-black" or not study.has(arm):
            continue
        cells = [label]
        for kept_by, ratio_of in zip(_kept(study, arm), _error_ratio(study, arm), strict=True):
            cells += [number(estimate(kept_by)), number(estimate(ratio_of), digits=1)]
        rows.append([*cells, number(estimate(study.healthy(arm, "ssim")), digits=3)])
    head = ["arm"]
    for kind in study.kinds:
        head += [f"kept, {kind.title}", "error ratio"]
    sides = [
        f"against {LABELS[arm]}: keeps less **{fewer[arm]}**, higher ratio **{sharper[arm]}**"
        for arm in others
    ]
    return Answer(
        "(ii) SPA does not reconstruct lesions",
        all_of([half["spa"], sharper["vae"], sharper["gmvae"]]),
        "Share of a lesion's contrast that is kept: "
        + "; ".join(
            f"{LABELS[arm]} {by_kind([number(estimate(one)) for one in _kept(study, arm)], study)}"
            for arm in ("spa", "vae", "gmvae")
        )
        + f". SPA keeps less than half: {half['spa']}; its error ratio is above that of VAE: "
        f"{sharper['vae']}, of GMVAE: {sharper['gmvae']}.",
        "yes if, in real and in simulated patients, SPA keeps less than half of a lesion's "
        "contrast, and its error ratio is above those of VAE and of GMVAE; no if none of this "
        "holds.",
        (
            f"SPA {'; '.join(sides)}. With the paper's loss it keeps less than half: "
            f"**{half['spa-paper']}**.",
            table([*head, "SSIM, healthy"], [*rows, *less]),
            "_Kept_ is the lesion's contrast (mean inside less mean of the other brain) in the "
            "reconstruction as a share of that in the image: 0 it is gone, 1 it is copied. The "
            "_error ratio_ is the mean |x - x̂| inside the lesion over that in the rest of the "
            "brain. A network that blurs everything keeps little of a lesion too: its ratio and "
            "its SSIM on healthy people are low.",
        ),
    )


def _kept(study: Study, arm: str) -> list[Values | None]:
    return [study.contrast(arm, kind, "kept") for kind in study.kinds]


def _error_ratio(study: Study, arm: str) -> list[Values | None]:
    """Error inside the lesion over the error in the rest of the brain, per person and seed."""
    found: list[Values | None] = []
    for kind in study.kinds:
        inside, outside = (study.contrast(arm, kind, side) for side in ("inside", "outside"))
        if inside is None or outside is None:
            found.append(None)
        else:
            found.append(Values(inside.people, inside.seeds, inside.table / outside.table))
    return found


def ranks(study: Study) -> Answer:
    """Claim (iii)."""
    groups = (*(one for one in study.datasets if "(real)" in one.title), *study.kinds)
    short: tuple[tuple[str, Post, str, Post], ...] = (
        ("spa", "none", "gmvae", "none"),
        ("gmvae", "none", "vae", "none"),
        ("spa", "star", "spa", "none"),
        ("spa", "star", "gmvae", "star"),
        ("gmvae", "star", "vae", "star"),
    )
    long = [
        (f"{first}-long", post, f"{second}-long", other) for first, post, second, other in short
    ]
    pairs = [*short, *(long if study.has("spa-long") else [])]
    rows, verdicts, shown = [], [], []
    for first, post, second, other in pairs:
        less = {
            group.title: estimate(
                difference(
                    study.metric(first, group, post, "auprc"),
                    study.metric(second, group, other, "auprc"),
                )
            )
            for group in groups
        }
        verdicts.append(all_of(verdict(less[kind.title]) for kind in study.kinds))
        name = f"{LABELS[first]}{POSTS[post]} less {LABELS[second]}{POSTS[other]}"
        rows.append([name, *(change(one) for one in less.values()), f"**{verdicts[-1]}**"])
        of_kinds = [change(less[kind.title]) for kind in study.kinds]
        shown.append(f"{name} {by_kind(of_kinds, study)}")
    return Answer(
        "(iii) SPA > GMVAE > VAE in AUPRC, and SPA* > SPA",
        all_of(verdicts[:3]),
        "; ".join(shown[:3]) + "." + _longer(verdicts, shown),
        "yes if the first three differences are above 0 in real and in simulated patients, no if "
        "all are below.",
        (
            table(["AUPRC", *(group.title for group in groups), "higher?"], rows),
            "As the paper computes it, over all voxels of a dataset together, background included "
            "(mean over seeds, without / with *):",
            _pooled(study),
        ),
    )


def _longer(verdicts: list[Verdict], shown: list[str]) -> str:
    """The same answer for longer training; the second five differences are its."""
    if len(shown) == 5:
        return ""
    return f" Trained longer: **{all_of(verdicts[5:8])}** ({'; '.join(shown[5:8])})."


def _pooled(study: Study) -> str:
    """AUPRC of pooled voxels, per dataset."""
    rows = []
    for arm, name in (("thresholding", "thresholding"), *LABELS.items()):
        if not study.has(arm):
            continue
        cells = [name]
        for group in study.datasets:
            posts: tuple[Post, ...] = ("none", "star")
            found = [study.pooled_auprc(arm, group.datasets[0], post) for post in posts]
            cells.append(" / ".join("-" if one is None else f"{one:.2f}" for one in found))
        rows.append(cells)
    return table(["AUPRC, pooled", *(group.title for group in study.datasets)], rows)


def thresholding_wins(study: Study) -> Answer:
    """Claim (iv)."""
    rows, wins = [], {"max_dice": 0, "auprc": 0}
    for group in (*study.datasets, *study.kinds):
        cells = [group.title]
        for metric in wins:
            best = best_thresholding(study, group, metric) if len(group.datasets) == 1 else None
            less = estimate(against_thresholding(study, "spa", group, "star", metric))
            if len(group.datasets) == 1:
                wins[metric] += less is not None and less.mean < 0
                shown = NOT_RUN if best is None else number(estimate(best[1]), interval=False)
                cells += [f"{shown} {best[0]}" if best else shown]
                cells += [number(estimate(study.metric("spa", group, "star", metric)))]
            else:
                cells += ["per dataset", ""]
            cells.append(change(less))
        rows.append(cells)
    pooled = [
        estimate(against_thresholding(study, "spa", kind, "star", "max_dice"))
        for kind in study.kinds
    ]
    count = len(study.datasets)
    run = study.has("spa") and any(
        arm.method == "thresholding" and study.has(arm.name) for arm in study.arms
    )
    won = (
        f"By the means, thresholding is ahead of SPA* in {wins['max_dice']} of {count} datasets in "
        f"max Dice and in {wins['auprc']} of {count} in AUPRC. {_in_the_paper()}"
    )
    return Answer(
        "(iv) Thresholding, in its best variant, wins",
        all_of(opposite(verdict(one)) for one in pooled) if run else Verdict.NOT_RUN,
        f"Max Dice of SPA* less that of the best thresholding: "
        f"{by_kind([change(one) for one in pooled], study)}. {won}"
        if run
        else "",
        "yes if SPA* less the best thresholding is below 0 in max Dice, in real and in simulated "
        "patients; no if it is above 0 in both. The best of raw, quantile and histeq, each without "
        "post-processing, * or *3D, is picked per dataset and metric on the test patients.",
        (
            table(
                [
                    "dataset",
                    "max Dice: best thresholding",
                    "SPA*",
                    "difference",
                    "AUPRC: best thresholding",
                    "SPA*",
                    "difference",
                ],
                rows,
            ),
        ),
    )


def _in_the_paper() -> str:
    """The same count from the paper's printed tables."""
    thresholding: dict[tuple[str, str], float] = {}
    spa: dict[tuple[str, str], float] = {}
    for one in load_published(BERCEA_2022):
        key = (one.metric, one.label)
        if one.name == "thresholding" and one.value is not None:
            thresholding[key] = max(one.value, thresholding.get(key, 0.0))
        if one.name == "spa" and one.postprocessing == "star" and one.value is not None:
            spa[key] = one.value
    counts = []
    for metric in ("max_dice", "auprc"):
        ahead = [thresholding[key] > value for key, value in spa.items() if key[0] == metric]
        counts.append(f"{sum(ahead)} of {len(ahead)}")
    return f"In the paper it is ahead of SPA* in {counts[0]} and {counts[1]}."
