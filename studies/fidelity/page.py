"""Write the page of the study, ``docs/studies/fidelity.md``, from its results alone."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from uad_bench.system.disk import write_whole

from .answers import Answer, beyond_thresholding, words
from .arms import ARMS, DETECTORS, SIZES, Arm
from .claims import answer_claims, answer_goals, latent_dice
from .effects import DRAWS, FEWEST, Estimate, difference, estimate, per_person
from .figures import curves, reconstructions
from .leads import NETWORKS, answer_leads
from .notation import NOT_RUN, TEMPLATES, change, escaped, listed
from .records import POSTS, SIMULATED, Group, Study

STILL_FALLING = 0.02  # a validation L1 that fell by more than this share in the last quarter

PATIENT_COLUMNS = (
    *(("thresholding", ""), ("control-black", ""), ("control-mean", "*")),
    *((arm, "*") for arm in NETWORKS),
    *((arm.name, arm.mark) for arm in DETECTORS),
)


def write_page(study: Study, docs: Path, again: Study | None = None) -> None:
    """Write ``fidelity.md`` and ``images/fidelity-*.png``.

    Args:
        study: the results.
        docs: folder of the documentation.
        again: results of the same people on another grid or with networks of another size.
    """
    TEMPLATES.filters["median"] = statistics.median
    tables = (compared, variants, of_person, third_dimension, tissue_gain, convergence)
    text = TEMPLATES.get_template("page.md.j2").render(
        words(study) | {one.__name__: one for one in (*tables, size, ahead, prior_gains)},
        again=again,
        answers=_answered(study),
        again_answers=() if again is None else _answered(again),
        every_arm=ARMS,
        command="python -m studies.fidelity",
        draws=DRAWS,
        fewest=FEWEST,
        detectors=DETECTORS,
        bases=("spa", "spa-perceptual", "vae", "gmvae"),
        patient_columns=PATIENT_COLUMNS,
        budgets=sorted({one.slices_seen for one in study.trained}),
        still_falling=f"{100 * STILL_FALLING:.0f}",
        pictures=draw(study, docs),
    )
    discussion = Path(__file__).with_name("discussion.md").read_text(encoding="utf-8").strip()
    blocks = [re.sub(r"\n{3,}", "\n\n", escaped(text)).strip(), "## Discussion", discussion]
    write_whole(docs / "fidelity.md", ("\n\n".join(blocks) + "\n").encode())


def _answered(study: Study) -> tuple[Answer, ...]:
    """The paper's claims, the goal beyond it, and the leads."""
    return (*answer_claims(study), *answer_goals(study), *answer_leads(study))


def size(study: Study) -> str:
    """The size of the study that made these results."""
    made = {(one.params["width"], one.slices_seen) for one in study.trained}
    known = (name for name, one in SIZES.items() if (one.width, one.slices) in made)
    return next(known, "?")


def compared(study: Study) -> tuple[Arm, ...]:
    """The rows of the main tables: what was run."""
    rest = [arm for arm in ARMS if arm.group in ("main", "control")]
    return tuple(arm for arm in (*rest, *DETECTORS) if study.has(arm.name))


def variants(study: Study, bases: Sequence[str]) -> list[tuple[Arm, str]]:
    """The variants of some arms that were run, each with the arm that it varies."""
    found = [(arm, arm.base.name if arm.base else "") for arm in ARMS if study.has(arm.name)]
    return [(arm, of) for base in bases for arm, of in found if of == base]


def of_person(study: Study, person: str, arm: str, name: str) -> str:
    """A real patient's number, mean over seeds."""
    values = study.values(arm, study.real, name)
    return NOT_RUN if values is None else f"{per_person(values)[person]:.2f}"


def third_dimension(study: Study, arm: Arm, people: Group) -> Estimate | None:
    """What a median over three slices changes in AUPRC."""
    pair = (study.values(arm.name, people, f"auprc{mark}") for mark in ("*3D", "*"))
    return estimate(difference(*pair))


def tissue_gain(study: Study, arm: str, base: str) -> str:
    """What an arm has more of the mean tissue Dice than another one; ``-`` without maps."""
    pair = [latent_dice(study, one)[-1] for one in (arm, base)]
    return "-" if any(one is None for one in pair) else change(estimate(difference(*pair)))


def ahead(study: Study, arm: Arm) -> str:
    """In how many datasets a detector is ahead of the best thresholding, per post-processing."""
    parts = []
    for mark in POSTS:
        counts = []
        for metric in ("max_dice", "dice"):
            every = [(arm.name, dataset, metric, mark) for dataset in study.datasets]
            gains = [one for each in every if (one := beyond_thresholding(study, *each))]
            sure = sum(one.low is not None and one.low > 0 for one in gains)
            counts.append(f"{sum(one.mean > 0 for one in gains)} ({sure})")
        name = f"{arm.label}{mark}" if mark else f"{arm.label} without post-processing"
        parts.append(f"{name}: {counts[0]} in max Dice, {counts[1]} in Dice at the threshold")
    return "; ".join(parts)


def prior_gains(study: Study, arm: str, base: str, columns: Iterable[tuple[str, str]]) -> str:
    """Differences between two arms on real and on simulated patients, as a list."""
    return "; ".join(
        f"{change(study.gain(arm, base, kind, name))} in {title} ({kind.title})"
        for kind in study.kinds
        for title, name in columns
    )


def convergence(study: Study) -> list[tuple[Arm, list[float], str, str]]:
    """Validation L1 of each network on the way, its falls in the last quarter, and a verdict."""
    found = []
    for arm in (one for one in ARMS if one.longer and study.has(one.name)):
        curves = [one.curves["validation_l1"] for one in study.records[arm.name].values()]
        on_the_way = [[_at(curve, share) for share in (0.25, 0.5, 0.75, 1.0)] for curve in curves]
        falls = [(row[2] - row[3]) / row[2] for row in on_the_way]
        means = [sum(column) / len(column) for column in zip(*on_the_way, strict=True)]
        falling = sum(fall > STILL_FALLING for fall in falls)
        still = "yes" if falling == len(falls) else "in some seeds" if falling else "no"
        found.append((arm, means, listed([f"{100 * fall:.1f}" for fall in falls]), still))
    return found


def _at(curve: Sequence[tuple[float, float]], share: float) -> float:
    """The value at the last check up to a share of the run, or at the first."""
    reached = [value for step, value in curve if step <= share * curve[-1][0]]
    return reached[-1] if reached else curve[0][1]


def draw(study: Study, docs: Path) -> list[tuple[str, str]]:
    """Draw the pictures; return dataset and name of those that the page shows.

    Those of real patients stay with the results: not every licence allows to publish them.
    """
    trained = [arm for arm in compared(study) if arm.longer]
    write_whole(docs / "images/fidelity-curves.png", curves(study, trained))
    shown = []
    for people, place in ((study.simulated, docs), (study.real, study.folder / "pictures")):
        for dataset in people.datasets:
            name = dataset.replace(SIMULATED, "-simulated")
            if (drawn := reconstructions(study, dataset)) is not None:
                write_whole(place / f"images/fidelity-{name}.png", drawn)
                shown += [(dataset, name)] if place == docs else []
    return shown
