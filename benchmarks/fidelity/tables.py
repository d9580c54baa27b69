"""The page's tables of results."""

from __future__ import annotations

from collections.abc import Sequence

from answers import LABELS
from arms import Arm
from claims import latent_dice, over_tissues
from detectors import detectors
from effects import Values, difference, estimate
from leads import lesion_ml
from notation import NOT_RUN, change, listed, number, table
from records import POSTS, Group, Post, Study, base_of, own_post

from uad_bench.method import TISSUES

PATIENT_METRICS: tuple[tuple[str, Post, str], ...] = (
    ("AUPRC", "none", "auprc"),
    ("AUPRC*", "star", "auprc"),
    ("max Dice", "none", "max_dice"),
    ("max Dice*", "star", "max_dice"),
    ("Dice at val. threshold*", "star", "dice"),
)
"""Heading, post-processing and metric."""

STILL_FALLING = 0.02
"""A validation L1 that fell by more than this share in the last quarter is still falling."""


def compared(study: Study) -> tuple[Arm, ...]:
    """The rows of the main tables: what was run."""
    rest = [arm for arm in study.arms if arm.group in ("main", "control")]
    return tuple(arm for arm in (*rest, *detectors(study)) if study.has(arm.name))


def variants(study: Study, base: str) -> tuple[Arm, ...]:
    """The variants of an arm that were run."""
    found = [(arm, base_of(arm, study.arms)) for arm in study.arms if study.has(arm.name)]
    return tuple(arm for arm, of in found if of is not None and of.name == base)


def main_table(study: Study, group: Group) -> str:
    """Every method on a group of patients."""
    rows = [
        [
            study.label(arm),
            *(
                number(estimate(study.metric(arm.name, group, own_post(arm, post), metric)))
                for _, post, metric in PATIENT_METRICS
            ),
        ]
        for arm in compared(study)
    ]
    return table([group.title, *(heading for heading, _, _ in PATIENT_METRICS)], rows)


def dataset_table(study: Study) -> str:
    """Mean AUPRC* and max Dice* per dataset, without intervals."""
    rows = []
    for arm in compared(study):
        cells = [study.label(arm)]
        for group in study.datasets:
            pair = [
                estimate(study.metric(arm.name, group, own_post(arm), metric))
                for metric in ("auprc", "max_dice")
            ]
            found = [number(one, interval=False) for one in pair]
            cells.append(found[0] if NOT_RUN in found else " / ".join(found))
        rows.append(cells)
    return table(["AUPRC* / max Dice*", *(f"{g.title}, {g.people}" for g in study.datasets)], rows)


def patient_table(study: Study) -> str:
    """Each real patient: size of the lesions, AUPRC, and contrast that SPA keeps."""
    volumes = lesion_ml(study, study.real)
    columns: list[tuple[str, Values | None]] = [
        ("thresholding", study.metric("thresholding", study.real, "none", "auprc")),
        ("black", study.metric("control-black", study.real, "none", "auprc")),
        ("mean brain*", study.metric("control-mean", study.real, "star", "auprc")),
    ]
    for arm in ("vae", "gmvae", "spa", "spa-beta-0", "dae"):
        columns.append((f"{LABELS[arm]}*", study.metric(arm, study.real, "star", "auprc")))
    columns += [
        (a.label, study.metric(a.name, study.real, own_post(a), "auprc")) for a in detectors(study)
    ]
    columns.append(("kept by SPA", study.contrast("spa", study.real, "kept")))
    rows = []
    for person, volume in volumes.items():
        found = [NOT_RUN if v is None else f"{v.per_person[person]:.2f}" for _, v in columns]
        rows.append([person.replace("/", ", "), f"{volume:.1f}", *found])
    return table(["real patient", "lesion, ml", *(name for name, _ in columns)], rows)


def post_table(study: Study) -> str:
    """AUPRC under each post-processing, and what the third dimension does."""
    rows = []
    for arm in compared(study):
        cells = [study.label(arm)]
        for group in study.kinds:
            found = {post: study.metric(arm.name, group, post, "auprc") for post in POSTS}
            cells += [number(estimate(one), interval=False) for one in found.values()]
            cells.append(change(estimate(difference(found["star3d"], found["star"]))))
        rows.append(cells)
    head = ["AUPRC"]
    for group in study.kinds:
        head += [f"none, {group.title}", "*", "*3D", "*3D less *"]
    return table(head, rows)


def ablation_tables(study: Study, bases: Sequence[str], group: Group) -> str:
    """What each variant changes on patients, against the arm that it varies."""
    rows, new = [], {arm.name for arm in detectors(study)}
    for base in bases:
        for arm in variants(study, base):
            cells = [study.label(arm)]
            for metric in ("auprc", "max_dice", "dice"):
                post = own_post(arm)
                pair = (study.metric(one, group, post, metric) for one in (arm.name, base))
                cells.append(change(estimate(difference(*pair))))
            if base not in new:  # a detector reconstructs nothing
                kept = (study.contrast(one, group, "kept") for one in (arm.name, base))
                cells.append(change(estimate(difference(*kept))))
            rows.append(cells)
    if new.issuperset(bases):
        return table([group.title, "AUPRC", "max Dice", "Dice at val. threshold"], rows)
    head = [group.title, "AUPRC*", "max Dice*", "Dice at val. threshold*", "contrast kept"]
    return table(head, rows)


def ablation_healthy(study: Study, bases: Sequence[str]) -> str:
    """What each variant changes on healthy people."""
    rows = []
    for base in bases:
        for arm in variants(study, base):
            cells = [study.label(arm)]
            for name in ("l1_brain", "ssim"):
                pair = (study.healthy(one, name) for one in (arm.name, base))
                cells.append(change(estimate(difference(*pair)), digits=3))
            dice = [over_tissues(latent_dice(study, one)) for one in (arm.name, base)]
            without = study.has(arm.name) and None in dice
            cells.append("-" if without else change(estimate(difference(*dice))))
            rows.append(cells)
    return table(["healthy people", "L1 in brain", "SSIM", "mean tissue Dice"], rows)


def healthy_table(study: Study) -> str:
    """Reconstruction of the unseen healthy people and tissue maps."""
    rows = []
    for arm in compared(study):
        if study.healthy(arm.name, "l1") is None:
            continue
        cells = [study.label(arm)]
        cells += [
            number(estimate(study.healthy(arm.name, one)), digits=3)
            for one in ("l1", "l1_brain", "ssim")
        ]
        maps = [*latent_dice(study, arm.name).values(), study.healthy(arm.name, "sum_error")]
        cells += ["-" if one is None else number(estimate(one)) for one in maps]
        rows.append(cells)
    head = ["arm", "L1, slice", "L1, brain", "SSIM"]
    return table([*head, *(f"Dice {name}" for name in TISSUES[:-1]), "sum-to-one error"], rows)


def convergence_table(study: Study) -> str:
    """Validation L1 on the way, and whether it still falls."""
    rows = []
    for arm in study.arms:
        curves = [
            one.curves["validation_l1"]
            for one in study.results.get(arm.name, {}).values()
            if one.curves.get("validation_l1")
        ]
        if not curves:
            continue
        on_the_way = [[_at(curve, share) for share in (0.25, 0.5, 0.75, 1.0)] for curve in curves]
        falls = [(row[2] - row[3]) / row[2] for row in on_the_way]
        means = [sum(column) / len(column) for column in zip(*on_the_way, strict=True)]
        spread = listed([f"{100 * fall:.1f}" for fall in falls])
        falling = sum(fall > STILL_FALLING for fall in falls)
        rows.append(
            [
                study.label(arm),
                *(f"{mean:.4f}" for mean in means),
                f"{spread} %",
                "yes" if falling == len(falls) else "no" if not falling else "in some seeds",
            ]
        )
    head = ["arm", "L1 at 1/4", "1/2", "3/4", "end", "fall in the last quarter, per seed"]
    return table([*head, "still falling"], rows)


def _at(curve: Sequence[tuple[float, float]], share: float) -> float:
    """The value at the last check up to a share of the run."""
    last = curve[-1][0]
    return (
        [value for step, value in curve if step <= share * last][-1]
        if (curve[0][0] <= share * last)
        else curve[0][1]
    )
