"""The page's head: what was done, on what, how large, and how to read it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from arms import SIZES
from effects import DRAWS, FEWEST
from notation import listed, several
from pack import Pack
from records import StoredResult, Study


def describe(study: Study) -> Iterable[str]:
    """What was done, on what, and how large."""
    everything, trained = _measured(study)
    yield "# How faithful the detectors are: a study"
    yield (
        "SPA, VAE and GMVAE were trained on simulated healthy brains and measured on patients, "
        "beside thresholding and controls. The paper's claims are tested first, then come the "
        "tables. This page is written by a program from the results: every number comes from "
        "them, and every verdict from the rule beside it."
    )
    yield _commands(
        f"pack STUDY.npz --anatomies DIR --data-root DIR{_lesion_free(study)}",
        f"run STUDY.npz RESULTS {_size(study)}",
        "page STUDY.npz RESULTS --anatomies DIR",
    )
    facts = (*_data(study), grid(study.pack), _networks(), *_work(everything, trained))
    yield "\n".join(f"- {line}" for line in facts)
    yield (
        "**Notation.** Without a star: absolute residual. *: positive residual and a median of 3 x "
        "3 pixels. *3D: of 3 x 3 x 3 voxels. AUPRC is taken inside the brain of each patient and "
        "averaged. Max Dice is an upper bound: one threshold per dataset, searched on its own "
        "labels. The validation threshold lets through 1 % of simulated healthy voxels."
    )
    yield (
        "**Intervals**, in brackets, are 95 % percentile intervals of a bootstrap of "
        f"{DRAWS} draws "
        "that resamples people and, independently, seeds: each draw averages every drawn person "
        "over the drawn seeds. Differences are paired: same person, same seed. Real patients and "
        "simulated patients are pooled apart, every patient with the same weight. An interval "
        f"over two people, as on MSLUB, is little more than these two; groups of fewer than "
        f"{FEWEST} people, and single seeds, decide no verdict. Bold differences have an interval "
        "without 0 and enough people and seeds; nothing is corrected for the number of "
        "comparisons, so expect one in twenty by chance. _not run_ means that there is no result; "
        "nothing is filled in."
    )
    absent = [arm.name for arm in study.arms if not study.has(arm.name)]
    if absent:
        yield f"**Not run**, and therefore in no table: {', '.join(absent)}."
    if study.unknown:
        yield f"Results that no arm of `arms.py` explains, left out: {', '.join(study.unknown)}."


def describe_again(study: Study) -> Iterable[str]:
    """What differs where the same people are measured again."""
    arms = ",".join(arm.name for arm in study.arms if study.has(arm.name))
    yield _commands(
        f"pack AGAIN.npz --recipe median --anatomies DIR --data-root DIR{_lesion_free(study)}",
        f"run AGAIN.npz RESULTS {_size(study)} --arms {arms}",
        "page STUDY.npz RESULTS --anatomies DIR --again AGAIN.npz RESULTS",
    )
    facts = (grid(study.pack), *_work(*_measured(study)))
    yield "\n".join(f"- {line}" for line in facts)


def named(study: Study) -> str:
    """A study by its grid and its networks' width."""
    high, wide = _pixels(study.pack)
    widths = {one.params["width"] for one in _measured(study)[1] if "width" in one.params}
    return f"{high} x {wide} pixels, width {several(widths)}"


def _measured(study: Study) -> tuple[list[StoredResult], list[StoredResult]]:
    """All results, and those of what was trained."""
    everything = [one for of in study.results.values() for one in of.values()]
    return everything, [one for one in everything if one.steps]


def _pixels(pack: Pack) -> tuple[int, int]:
    high, wide = pack.datasets["healthy"].image.shape[1:]
    return high, wide


def _commands(*lines: str) -> str:
    return "\n".join(("```", *(f"python benchmarks/fidelity {line}" for line in lines), "```"))


def _lesion_free(study: Study) -> str:
    return " --lesion-free DIR" if "lesion-free" in study.pack.datasets else ""


def _size(study: Study) -> str:
    """The options of ``run`` that made these results."""
    _, trained = _measured(study)
    sizes = [
        name
        for name, size in SIZES.items()
        for one in trained
        if one.params.get("width") == size.width and abs(one.slices_seen - size.slices) < 100
    ]
    seeds = ",".join(map(str, study.seeds)) or "0"
    return f"--size {sizes[0] if sizes else '?'} --seeds {seeds}"


def _data(study: Study) -> Iterable[str]:
    pack = study.pack
    healthy = pack.datasets["healthy"]
    count = {
        split: sum(s.split == split for s in healthy.scans) for split in ("train", "validation")
    }
    rows = len(healthy.rows("train"))
    yield (
        f"**Trained on** {count['train']} simulated healthy people ({rows} slices), made from real "
        f"label maps; validated on {count['validation']} more. No anatomy is both trained on and "
        "tested."
    )
    extra = pack.datasets.get("lesion-free")
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
                for group in study.datasets
                if f"({kind})" in group.title
            ]
        )
        or "none"
        for kind in ("real", "simulated")
    )
    yield (
        f"**Tested on** {study.real.people} real patients ({real}), {study.simulated.people} "
        f'_simulated_ patients ({simulated}), and {unseen} _simulated_ healthy people ("unseen").'
    )


def grid(pack: Pack) -> str:
    """The slices' size, and the file that they are in."""
    z, y, x = pack.spacing
    high, wide = _pixels(pack)
    return (
        f"**Grid**: slices of {high} x {wide} pixels of {y:g} x {x:g} mm, {z:g} mm apart, cut from "
        f"128 x 128 to where brains are. Pack SHA-256 `{pack.sha256}`."
    )


def _networks() -> str:
    return (
        "**Networks** train on L1 and TV, and SPA's maps are sigmoids; the perceptual term and the "
        "softmax, which the package has by default, are ablations here."
    )


def _work(everything: list[StoredResult], trained: list[StoredResult]) -> Iterable[str]:
    if trained:
        sizes = {
            name: sorted({one.params[name] for one in trained if name in one.params})
            for name in ("width", "batch_size")
        }
        seconds = [one.train_s for one in trained]
        yield (
            f"**Size**: width {several(sizes['width'])}, batch {several(sizes['batch_size'])}, "
            f"{several({one.steps for one in trained})} steps, that is "
            f"{several({one.slices_seen for one in trained})} slices seen per training; "
            f"{len(trained)} trainings, seeds {several({one.seed for one in trained})}."
        )
        yield (
            f"**Time**: {statistics.median(seconds):.0f} s per training (median; "
            f"{min(seconds):.0f} to {max(seconds):.0f}), {sum(seconds) / 3600:.1f} h of training "
            f"and {sum(one.score_s for one in everything) / 3600:.1f} h of scoring in all, on "
            f"{several({one.device for one in everything})}."
        )
    versions = {f"{name} {version}" for one in everything for name, version in one.versions.items()}
    yield (f"**Code**: commit {several({one.commit for one in everything})}; {several(versions)}.")
