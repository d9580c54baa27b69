"""The card of a shared detector: what it is, what it learned from, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from uad_bench.evaluation.protocols.strict import FPR
from uad_bench.evaluation.scores.histograms import ScoreHistogram, threshold_at_fpr
from uad_bench.method import MethodInfo
from uad_bench.runner.detectors.folder import DetectorRecord

_PAGE = """\
---
license: {tag}
library_name: uad-bench
tags: [anomaly-detection, brain, flair, mri]
---

# {title}

{simulated}{summary}{citation}

It scores each voxel of a brain MRI (FLAIR): the higher, the more unlike the healthy people that it
learned from.

## Use it

```console
$ uad-bench predict scan.nii.gz -d THIS -o map.nii.gz
```

`THIS` is this folder, or its zip. It needs uad-bench {version}, or another version with the same
code of the method `{method}`{plugin}. `pip install uad-bench[prepare]` brings the tools for raw
scans.

## What it is for

Research. It is not a medical device, and nothing here shows that it is fit for a diagnosis.

* It knows scans as its recipe makes them. Another sequence than FLAIR, or a brain that is not
  registered, gives maps without meaning.
* It takes for an anomaly whatever its training people did not have: another scanner, age or
  protocol too.
* How well it finds lesions is not part of this card: test it on data of your own with
  `uad-bench run` or `uad-bench evaluate`.

## What it learned from

{training}

{held}

## How it was trained

{fit}

## Healthy validation scans

{validation}

## Recipe

`recipe.yaml` says the same for `uad-bench run --recipe`.

{recipe}

## Licence

{licence}, see `LICENSE`.
"""


def detector_card(
    record: DetectorRecord,
    info: MethodInfo,
    validation: Mapping[str, ScoreHistogram],
    *,
    summary: str,
    held: str,
    licence: str,
) -> str:
    """Return the card of a detector in Markdown, with the header that model hubs read.

    Args:
        record: what it is and what it came from.
        info: of its method.
        validation: scores of healthy validation scans, by post-processing and version.
        summary: of its method, one sentence.
        held: what it holds of its training people, one sentence.
        licence: as SPDX spells it.
    """
    is_built_in = record.source.startswith("uad_bench.")
    return _PAGE.format(
        licence=licence,
        tag=licence.lower(),
        title=f"{record.title}, seed {record.seed}",
        simulated="**It learned from simulated brains.**\n\n" if record.simulated else "",
        summary=summary.rstrip(".") + ".",
        citation=f" {info.citation}." if info.citation and info.citation not in summary else "",
        version=record.versions.get("uad-bench", "of its time"),
        method=record.method,
        plugin="" if is_built_in else f", whose file `{record.source}` is given with `--plugin`",
        training="\n".join(_training(record, info)),
        held=held,
        fit="\n".join(_fit(record)),
        validation="\n".join(_validation(record, validation)),
        recipe=_table(["choice", "value"], record.recipe.model_dump().items()),
    )


def _training(record: DetectorRecord, info: MethodInfo) -> Iterator[str]:
    use = record.training
    kind = "simulated " if use.simulated else ""
    people = "patients, with their lesion masks" if info.supervised else "people"
    yield (
        f"{use.title or use.dataset}: {use.scans} {kind}scans of {use.subjects} {people}, "
        f"{use.slices} slices. Manifest {use.manifest_hash}."
    )
    if record.fit.simulated_prior:
        yield "Its tissue prior is an atlas of simulated brains."
    if record.fit.fallback_prior:
        yield "Its tissue prior is the template's, because too few people had tissue maps."


def _fit(record: DetectorRecord) -> Iterator[str]:
    fit = record.fit
    if fit.steps:
        yield f"{fit.steps} steps, {fit.slices_seen} slices seen, {fit.wall_s:.0f} s.\n"
    if fit.tuned:
        chosen = ", ".join(f"{name} = {value:g}" for name, value in fit.tuned.items())
        yield f"Tuned on healthy scans in {fit.trials} trials: {chosen}.\n"
    yield from (f"* {note}" for note in fit.notes)
    yield ""
    if record.params:
        yield _table(["parameter", "value"], record.params.items()) + "\n"
    yield _table(["package", "version"], record.versions.items())


def _validation(record: DetectorRecord, scores: Mapping[str, ScoreHistogram]) -> Iterator[str]:
    if record.fit.validation:
        yield _table(["measure", "value"], record.fit.validation.items()) + "\n"
    thresholds = {
        name.rpartition("-")[0]: threshold_at_fpr(one, FPR) / 65535 for name, one in scores.items()
    }
    if thresholds:
        yield f"`predict` takes as threshold the score that {FPR:.0%} of their voxels reach:\n"
        yield _table(["post-processing", "score"], thresholds.items())
    if not (thresholds or record.fit.validation):
        yield "Nothing was measured on them, so that there is no threshold."


def _table(head: list[str], rows: Iterable[tuple[str, object]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| :-- | --: |"]
    for name, value in rows:
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        lines.append(f"| {name} | {shown.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)
