"""Write the page of the study, ``docs/fidelity.md``, from its results alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

from answers import claims
from arms import SIZES
from effects import FEWEST, difference, estimate
from figures import curves, reconstructions, tissue_maps
from leads import leads
from notation import change, listed
from pack import Pack
from records import Post, StoredResult, Study, read_study
from tables import (
    STILL_FALLING,
    ablation_healthy,
    ablation_tables,
    cohort_table,
    convergence_table,
    detector_sentence,
    detector_table,
    detectors,
    healthy_table,
    main_table,
    patient_table,
    post_table,
)

from uad_bench.results import write_whole

BASES = ("spa", "vae", "gmvae")


def write_page(pack: Pack, results: Path, docs: Path) -> None:
    """Write ``fidelity.md`` and ``images/fidelity-*.png``.

    Args:
        pack: the data that the results were measured on.
        results: folder of the results; ``percentile`` in it may hold those of the same people
            under the paper's normalisation.
        docs: folder of the documentation.

    Raises:
        UadBenchError: if there are no results, or they are of other data.
    """
    study = read_study(pack, results)
    folder = results / "percentile"
    percentile = (
        read_study(pack, folder, other_recipe=True) if any(folder.glob("*-s*.json")) else None
    )
    (docs / "images").mkdir(parents=True, exist_ok=True)
    blocks = [
        *_head(study),
        *_answers(study, percentile),
        *_tables(study),
        *_ablations(study),
        *_healthy(study),
        *_convergence(study, docs),
        *_pictures(study, docs),
        *_limits(study),
        *_discussion(),
    ]
    write_whole(docs / "fidelity.md", ("\n\n".join(blocks) + "\n").encode())


def _head(study: Study) -> Iterable[str]:
    """What was done, on what, and how large."""
    everything = [one for of in study.results.values() for one in of.values()]
    trained = [one for one in everything if one.steps]
    yield "# How faithful the detectors are: a study"
    yield (
        "SPA, VAE and GMVAE were trained on simulated healthy brains and measured on patients, "
        "beside thresholding and controls. The paper's claims are tested first, then come the "
        "tables. This page is written by a program from the results: every number comes from "
        "them, and every verdict from the rule beside it."
    )
    size = next(
        (n for n, s in SIZES.items() if any(_is_size(one, s.width, s.slices) for one in trained)),
        "?",
    )
    seeds = ",".join(map(str, study.seeds)) or "0"
    yield "\n".join(
        (
            "```",
            "python benchmarks/fidelity pack STUDY.npz --anatomies DIR --data-root DIR",
            f"python benchmarks/fidelity run STUDY.npz RESULTS --size {size} --seeds {seeds}",
            "python benchmarks/fidelity page STUDY.npz RESULTS",
            "```",
        )
    )
    yield "\n".join(f"- {line}" for line in (*_data(study), *_work(everything, trained)))
    yield (
        "**Notation.** Without a star: absolute residual. *: positive residual and a median of 3 x "
        "3 pixels. *3D: of 3 x 3 x 3 voxels. AUPRC is taken inside the brain of each patient and "
        "averaged. Max Dice is an upper bound: one threshold per cohort, searched on its own "
        "labels. The validation threshold lets through 1 % of simulated healthy voxels."
    )
    yield (
        "**Intervals**, in brackets, are 95 % percentile intervals of a bootstrap of 2000 draws "
        "that resamples people and, independently, seeds: each draw averages every drawn person "
        "over the drawn seeds. Differences are paired: same person, same seed. Real patients and "
        "simulated patients are pooled apart, every patient with the same weight. An interval "
        f"over two people, as on MSLUB, is little more than these two; groups of fewer than "
        f"{FEWEST} people, and single seeds, decide no verdict. Bold differences have an interval "
        "without 0 and enough people and seeds; nothing is corrected for the number of "
        "comparisons, so expect one in twenty by chance. *not run* means that there is no result; "
        "nothing is filled in."
    )
    absent = [arm.name for arm in study.arms if not study.has(arm.name)]
    if absent:
        yield f"**Not run**, and therefore in no table: {', '.join(absent)}."
    if study.unknown:
        yield f"Results that no arm of `arms.py` explains, left out: {', '.join(study.unknown)}."


def _is_size(one: StoredResult, width: int, slices: int) -> bool:
    return one.params.get("width") == width and abs(one.slices_seen - slices) < 100


def _data(study: Study) -> Iterable[str]:
    pack = study.pack
    healthy = pack.cohorts["healthy"]
    count = {
        split: sum(s.split == split for s in healthy.scans) for split in ("train", "validation")
    }
    rows = len(healthy.rows("train"))
    yield (
        f"**Trained on** {count['train']} simulated healthy people ({rows} slices), made from real "
        f"label maps; validated on {count['validation']} more. No anatomy is both trained on and "
        "tested."
    )
    extra = pack.cohorts.get("lesion-free")
    if extra is not None:
        yield (
            f"Arms that say so also saw {len(extra.image)} lesion-free slices of "
            f"{len(extra.scans)} real patients who are tested nowhere."
        )
    unseen = len(study.people("unseen"))
    real, simulated = (
        listed(
            [
                f"{group.people} {group.title.split(' (')[0]}"
                for group in study.cohorts
                if f"({kind})" in group.title
            ]
        )
        or "none"
        for kind in ("real", "simulated")
    )
    yield (
        f"**Tested on** {study.real.people} real patients ({real}), {study.simulated.people} "
        f'*simulated* patients ({simulated}), and {unseen} *simulated* healthy people ("unseen").'
    )
    z, y, x = pack.spacing
    high, wide = healthy.image.shape[1:]
    yield (
        f"**Grid**: slices of {high} x {wide} pixels of {y:g} x {x:g} mm, {z:g} mm apart "
        f"(the paper: 128 x 128). Pack SHA-256 `{pack.sha256}`."
    )


def _work(everything: list[StoredResult], trained: list[StoredResult]) -> Iterable[str]:
    if trained:
        sizes = {
            name: sorted({one.params[name] for one in trained if name in one.params})
            for name in ("width", "batch_size")
        }
        seconds = [one.train_s for one in trained]
        yield (
            f"**Size**: width {_several(sizes['width'])}, batch {_several(sizes['batch_size'])}, "
            f"{_several({one.steps for one in trained})} steps, that is "
            f"{_several({one.slices_seen for one in trained})} slices seen per training; "
            f"{len(trained)} trainings, seeds {_several({one.seed for one in trained})}."
        )
        yield (
            f"**Time**: {statistics.median(seconds):.0f} s per training (median; "
            f"{min(seconds):.0f} to {max(seconds):.0f}), {sum(seconds) / 3600:.1f} h of training "
            f"and {sum(one.score_s for one in everything) / 3600:.1f} h of scoring in all, on "
            f"{_several({one.device for one in everything})}."
        )
    versions = {f"{name} {version}" for one in everything for name, version in one.versions.items()}
    yield (
        f"**Code**: commit {_several({one.commit for one in everything})}; {_several(versions)}."
    )


def _several(found: Iterable[object]) -> str:
    return listed([f"{one:,}" if isinstance(one, int) else str(one) for one in sorted(found)])  # type: ignore[type-var]


def _answers(study: Study, percentile: Study | None) -> Iterable[str]:
    found, trial = claims(study), leads(study, percentile)
    yield "## The answers"
    yield "\n".join(f"- {one.line}" for one in (*found, *trial))
    yield "### The paper's claims"
    for one in found:
        yield one.markdown(4)
    yield "### The leads of a short trial"
    yield "An earlier, throw-away trial with one seed left these leads."
    for one in trial:
        yield one.markdown(4)


def _tables(study: Study) -> Iterable[str]:
    yield "## Detection"
    for group in (*(one for one in study.cohorts if "(real)" in one.title), study.simulated):
        if group.people:
            people = f", {group.people} patients" if group is not study.simulated else ""
            yield f"### {group.title}{people}"
            yield main_table(study, group)
    yield "### Every cohort"
    yield "Means over patients and seeds; two patients are too few for an interval."
    yield cohort_table(study)
    if study.real.people:
        yield "### Every real patient"
        yield "AUPRC, mean over seeds."
        yield patient_table(study)
    yield "### Post-processing"
    yield post_table(study)
    for arm in detectors(study):
        yield f"### {arm.label} against thresholding"
        yield (
            "The best of nine variants of thresholding is picked per cohort and metric on the test "
            "patients; the detector is always taken with *. *Wins* counts patients."
        )
        yield detector_table(study, arm)
        yield detector_sentence(study, arm)


def _ablations(study: Study) -> Iterable[str]:
    yield "## Ablations"
    yield (
        "Differences to the method with its defaults that the row is named for. Less *contrast "
        "kept* and less *L1* are better; more of everything else."
    )
    for base in (BASES, *((arm.name,) for arm in detectors(study))):
        for kind in study.kinds:
            yield ablation_tables(study, base, kind)
        yield ablation_healthy(study, base)
    yield _prior(study)


def _prior(study: Study) -> str:
    """What the shape prior itself adds, in numbers."""
    parts = []
    columns: tuple[tuple[str, Post, str], ...] = (
        ("AUPRC*", "star", "auprc"),
        ("AUPRC", "none", "auprc"),
        ("Dice at the validation threshold*", "star", "dice"),
    )
    for kind in study.kinds:
        for name, post, metric in columns:
            pair = (study.metric(arm, kind, post, metric) for arm in ("spa", "spa-beta-0"))
            parts.append(f"{change(estimate(difference(*pair)))} in {name} ({kind.title})")
    l1 = difference(*(study.healthy(arm, "l1_brain") for arm in ("spa", "spa-beta-0")))
    return (
        f"**What the shape prior adds.** SPA less the same network with beta 0: "
        f"{'; '.join(parts)}; {change(estimate(l1), digits=3)} in L1 inside healthy brains."
    )


def _healthy(study: Study) -> Iterable[str]:
    yield "## Healthy people"
    yield (
        f"{len(study.people('unseen'))} unseen *simulated* healthy people. The paper's SSIM is "
        "0.954, on real people and its own grid; SSIM counts the background, so values of "
        "different grids do not compare. Latent maps of one person should sum to one in every "
        "pixel; the error is the mean deviation inside the brain."
    )
    yield healthy_table(study)


def _convergence(study: Study, docs: Path) -> Iterable[str]:
    yield "## Convergence"
    budgets = {one.slices_seen for of in study.results.values() for one in of.values() if one.steps}
    if not budgets:
        yield "Nothing was trained."
        return
    train = len(study.pack.cohorts["healthy"].rows("train"))
    passes = listed([f"{budget / train:.1f}" for budget in sorted(budgets)])
    yield (
        f"The budget is {_several(budgets)} slices, {passes} passes over the healthy training "
        f"slices. *Still falling*: validation L1 fell by more than {100 * STILL_FALLING:.0f} % "
        "over the last quarter. The learning rate falls throughout a run, so a flat end shows that "
        "the run has ended, not that a longer one would not be better."
    )
    yield from _image(docs, "curves", curves(study), "Validation L1, one line per seed")
    yield convergence_table(study)


def _pictures(study: Study, docs: Path) -> Iterable[str]:
    yield "## Pictures"
    yield (
        "Real patients: of two patients per cohort the slice with the most lesion, outlined in "
        "orange. Above the reconstruction, below the residual * on its own scale (given beneath "
        "it); blue outlines what exceeds the validation threshold. Each arm's first seed."
    )
    for cohort in study.real.cohorts:
        text = f"Real {cohort} patients: image, reconstructions and residuals"
        yield from _image(docs, cohort, reconstructions(study, cohort), text)
    maps = tissue_maps(study, study.real.cohorts)
    if maps is not None:
        yield (
            "SPA's latent tissue maps of the same slices, beside the prior at their place: 0 dark, "
            "1 bright."
        )
        yield from _image(docs, "tissues", maps, "Latent tissue maps of SPA and the prior's maps")


def _image(docs: Path, name: str, drawn: bytes | None, text: str) -> Iterable[str]:
    if drawn is not None:
        write_whole(docs / "images" / f"fidelity-{name}.png", drawn)
        yield f"![{text}](images/fidelity-{name}.png)"


def _limits(study: Study) -> Iterable[str]:
    pack = study.pack
    trained = [one for of in study.results.values() for one in of.values() if one.steps]
    widths = {one.params["width"] for one in trained if "width" in one.params}
    few = [
        f"{one.people} of {one.title.split(' (')[0]}"
        for one in study.cohorts
        if "(real)" in one.title
    ]
    high, wide = pack.cohorts["healthy"].image.shape[1:]
    lines = [
        f"There are {study.real.people} real patients ({listed(few) or 'none'}). Their intervals "
        "say how these differ, not how patients do.",
        f"Everyone trained on is simulated, and so are {study.simulated.people} of the "
        f"{study.simulated.people + study.real.people} patients. Simulated training and simulated "
        "test come from one simulator, so what holds there may be its doing.",
        f"Slices have {high * wide:,} pixels; the paper's have {128 * 128:,}.",
        "One training cohort and one division into training and unseen anatomies: the intervals "
        "do not include another choice of either.",
        "Max Dice and the best thresholding are chosen on the test labels, and the bootstrap does "
        "not choose them anew.",
    ]
    if widths:
        lines.append(f"The width is {_several(widths)}; the paper's is 32.")
    if len(study.seeds) < 3:
        lines.append(f"Seeds: {len(study.seeds)}; three were planned.")
    short = [study.label(arm) for arm in study.arms if "seeds)" in study.label(arm)]
    if short:
        lines.append(f"Some seeds are missing: {'; '.join(short)}.")
    mixed = {one.commit for one in trained}
    if len(mixed) > 1:
        lines.append(f"Results of {len(mixed)} commits of the code are mixed.")
    yield "## What this cannot say"
    yield "\n".join(f"- {line}" for line in lines)


def _discussion() -> Iterable[str]:
    file = Path(__file__).with_name("discussion.md")
    if file.is_file():
        yield "## Discussion"
        yield file.read_text(encoding="utf-8").strip()
