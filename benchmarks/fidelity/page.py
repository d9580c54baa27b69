"""Write the page of the study, ``docs/studies/fidelity.md``, from its results alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from answers import Answer
from claims import answer_claims
from detectors import answer_goal, detector_sentence, detector_table, detectors
from effects import difference, estimate
from figures import curves, reconstructions, tissue_maps
from leads import answer_leads
from notation import change, escaped, listed, several
from records import MARK, Post, Study
from setting import describe, describe_again, named
from tables import (
    STILL_FALLING,
    ablation_healthy,
    ablation_tables,
    convergence_table,
    dataset_table,
    healthy_table,
    main_table,
    patient_table,
    post_table,
)

from uad_bench.system.disk import write_whole

BASES = ("spa", "spa-perceptual", "vae", "gmvae")

_AT_FPR = "Dice at the validation threshold"
_Column = tuple[str, Post, str]
_Answers = tuple[tuple[Answer, ...], ...]


def write_page(
    study: Study, docs: Path, anatomies: Path | None = None, again: Study | None = None
) -> None:
    """Write ``fidelity.md`` and ``images/fidelity-*.png``.

    Args:
        study: the results.
        docs: folder of the documentation.
        anatomies: the label maps that the pack was made from, if they are at hand.
        again: results of the same people on another grid or with networks of another size.
    """
    (docs / "images").mkdir(parents=True, exist_ok=True)
    repeated = None if again is None else _answered(again, anatomies)
    written = [
        *describe(study),
        *_answers(study, anatomies, again, repeated),
        *_tables(study),
        *_ablations(study),
        *_healthy(study),
        *_convergence(study, docs),
        *_again(again, repeated),
        *_pictures(study, docs),
        *_limits(study, again),
    ]
    blocks = [*map(escaped, written), *_discussion()]
    write_whole(docs / "fidelity.md", ("\n\n".join(blocks) + "\n").encode())


def _answered(study: Study, anatomies: Path | None) -> _Answers:
    """The paper's claims, the goal beyond it, and the leads."""
    goals = tuple(answer_goal(study, arm) for arm in detectors(study))
    return answer_claims(study), goals, answer_leads(study, anatomies)


def _answers(
    study: Study, anatomies: Path | None, again: Study | None, repeated: _Answers | None
) -> Iterable[str]:
    found, goals, trial = _answered(study, anatomies)
    yield "## The answers"
    lines = [one.line for one in (*found, *goals, *trial)]
    if again is not None and repeated is not None:
        pairs = zip(lines, (one for part in repeated for one in part), strict=True)
        lines = [f"{line} _Again ({named(again)}):_ **{one.verdict}**." for line, one in pairs]
    yield "\n".join(f"- {line}" for line in lines)
    yield "### The paper's claims"
    for one in found:
        yield one.markdown(4)
    if goals:
        yield "### The goal beyond the paper"
    for one in goals:
        yield one.markdown(4)
    yield "### The leads of a short trial"
    yield "An earlier, throw-away trial with one seed left these leads."
    for one in trial:
        yield one.markdown(4)


def _tables(study: Study) -> Iterable[str]:
    yield "## Detection"
    for group in (*(one for one in study.datasets if "(real)" in one.title), study.simulated):
        if group.people:
            people = f", {group.people} patients" if group is not study.simulated else ""
            yield f"### {group.title}{people}"
            yield main_table(study, group)
    yield "### Every dataset"
    yield "Means over patients and seeds; two patients are too few for an interval."
    yield dataset_table(study)
    if study.real.people:
        yield "### Every real patient"
        yield "AUPRC, mean over seeds."
        yield patient_table(study)
    yield "### Post-processing"
    yield post_table(study)
    for arm in detectors(study):
        yield f"### {arm.label} against thresholding"
        yield (
            "The best of nine variants of thresholding is picked per dataset and metric on the "
            "test patients; the detector's score is taken as it is. _Wins_ counts patients."
        )
        yield detector_table(study, arm)
        yield detector_sentence(study, arm)


def _ablations(study: Study) -> Iterable[str]:
    yield "## Ablations"
    yield (
        "Differences to the method that the row is named for. Less _contrast "
        "kept_ and less _L1_ are better; more of everything else."
    )
    for kind in study.kinds:
        yield ablation_tables(study, BASES, kind)
    yield ablation_healthy(study, BASES)
    for arm in detectors(study):
        for kind in study.kinds:
            yield ablation_tables(study, (arm.name,), kind)
    yield _prior(study)


def _prior(study: Study) -> str:
    """What the shape prior itself adds, in numbers."""
    l1 = difference(*(study.healthy(arm, "l1_brain") for arm in ("spa", "spa-beta-0")))
    network: tuple[_Column, ...] = (
        ("AUPRC*", "star", "auprc"),
        ("AUPRC", "none", "auprc"),
        (_AT_FPR, "star", "dice"),
    )
    sentences = [
        f"**What the shape prior adds.** SPA less the same network with beta 0: "
        f"{_differences(study, 'spa', 'spa-beta-0', network)}; {change(estimate(l1), digits=3)} in "
        "L1 inside healthy brains."
    ]
    own: tuple[_Column, ...] = (
        ("AUPRC", "none", "auprc"),
        ("max Dice", "none", "max_dice"),
        (_AT_FPR, "none", "dice"),
    )
    sentences += [
        f"{arm.label} less {arm.label} without a prior: "
        f"{_differences(study, arm.name, f'{arm.name}-no-prior', own)}."
        for arm in detectors(study)
    ]
    return " ".join(sentences)


def _differences(study: Study, arm: str, base: str, columns: Iterable[_Column]) -> str:
    """Differences between two arms on real and on simulated patients, as a list."""
    found = []
    for kind in study.kinds:
        for name, post, metric in columns:
            pair = (study.metric(one, kind, post, metric) for one in (arm, base))
            found.append(f"{change(estimate(difference(*pair)))} in {name} ({kind.title})")
    return "; ".join(found)


def _healthy(study: Study) -> Iterable[str]:
    yield "## Healthy people"
    yield (
        f"{len(study.people('unseen'))} unseen _simulated_ healthy people. The paper's SSIM is "
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
    train = len(study.pack.datasets["healthy"].rows("train"))
    passes = listed([f"{budget / train:.1f}" for budget in sorted(budgets)])
    yield (
        f"The budget is {several(budgets)} slices, {passes} passes over the healthy training "
        f"slices. _Still falling_: validation L1 fell by more than {100 * STILL_FALLING:.0f} % "
        "over the last quarter. The learning rate falls throughout a run, so a flat end shows that "
        "the run has ended, not that a longer one would not be better."
    )
    yield from _image(docs, "curves", curves(study), "Validation L1, one line per seed")
    yield convergence_table(study)


def _again(again: Study | None, repeated: _Answers | None) -> Iterable[str]:
    """The same people measured a second time."""
    if again is None or repeated is None:
        return
    yield f"## Again: {named(again)}"
    yield (
        "The same people and the same rules with another grid and other networks; only the arms "
        "that the leads and the claims ask for."
    )
    yield from describe_again(again)
    yield "\n".join(f"- {one.line}" for part in repeated for one in part)
    for kind in again.kinds:
        yield main_table(again, kind)
    yield _prior(again)
    yield healthy_table(again)
    yield convergence_table(again)


def _pictures(study: Study, docs: Path) -> Iterable[str]:
    """Pictures of simulated patients for the page; those of real ones stay with the results.

    A dataset's licence may not allow to publish its images.
    """
    yield "## Pictures"
    simulated = [
        one for dataset in study.simulated.datasets for one in _drawn(study, dataset, docs)
    ]
    if simulated:
        yield (
            "Of two patients per dataset the slice with the most lesion, outlined in orange. Above "
            "the reconstruction, below the residual * on its own scale (given beneath it); blue "
            "outlines what exceeds the validation threshold. Each arm's first seed."
        )
        yield from simulated
    folder = study.folder / "pictures"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for dataset in study.real.datasets:
        list(_drawn(study, dataset, folder))
    for name, datasets, place in (
        ("tissues", study.simulated.datasets, docs),
        ("tissues", study.real.datasets, folder),
    ):
        maps = tissue_maps(study, datasets)
        written = list(
            _image(place, name, maps, "Latent tissue maps of SPA, and the prior's at their place")
        )
        if place is docs:
            yield from written
    yield (
        "`page` writes such pictures of the real patients to `RESULTS/pictures`, with every arm's "
        "reconstruction and residual and SPA's tissue maps: not every dataset's licence allows to "
        "publish them."
    )


def _drawn(study: Study, dataset: str, place: Path) -> Iterable[str]:
    if not any(key.startswith(f"{dataset}/") for key in study.pictures("thresholding")):
        return
    name = dataset.replace(MARK, "-simulated")
    text = f"{dataset} patients: image, reconstructions and residuals"
    yield from _image(place, name, reconstructions(study, dataset), text)


def _image(docs: Path, name: str, drawn: bytes | None, text: str) -> Iterable[str]:
    if drawn is not None:
        write_whole(docs / "images" / f"fidelity-{name}.png", drawn)
        yield f"![{text}](images/fidelity-{name}.png)"


def _limits(study: Study, again: Study | None) -> Iterable[str]:
    pack = study.pack
    trained = [one for of in study.results.values() for one in of.values() if one.steps]
    widths = {one.params["width"] for one in trained if "width" in one.params}
    few = [
        f"{one.people} of {one.title.split(' (')[0]}"
        for one in study.datasets
        if "(real)" in one.title
    ]
    high, wide = pack.datasets["healthy"].image.shape[1:]
    lines = [
        f"There are {study.real.people} real patients ({listed(few) or 'none'}). Their intervals "
        "say how these differ, not how patients do.",
        f"Everyone trained on is simulated, and so are {study.simulated.people} of the "
        f"{study.simulated.people + study.real.people} patients. Simulated training and simulated "
        "test come from one simulator, so what holds there may be its doing.",
        f"Slices have {high * wide:,} pixels; the paper's have {128 * 128:,}.",
        "One training dataset and one division into training and unseen anatomies: the intervals "
        "do not include another choice of either.",
        "Max Dice and the best thresholding are chosen on the test labels, and the bootstrap does "
        "not choose them anew.",
    ]
    if widths:
        lines.append(f"The width is {several(widths)}; the paper's is 32.")
    if again is not None:
        slices = {one.slices_seen for of in again.results.values() for one in of.values()} - {0}
        lines.append(f"Measured again at {named(again)}: {several(slices)} slices per training.")
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
