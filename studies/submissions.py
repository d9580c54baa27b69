"""Results that others submit to the leaderboard: what one must be, and what the page shows of it.

    python -m studies.submissions [FOLDER]

A submission is an export, NAME.zip, and NAME.yaml, which says whose it is. The command names every
fault and exits with 1 where there is one; a pull request is tested with it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.report.tables.versions import refuse_other_version
from uad_bench.sharing.archive import opened_results
from uad_bench.system.yaml_files import read_yaml

FOLDER = Path("results/submitted")

PROTOCOL = "strict"
"""The leaderboard's; a number of another one says so."""

LARGEST_MB = 10
"""What a submission may have: it stays in the repository for good."""


class About(BaseModel):
    """Whose results they are.

    Attributes:
        by: names of people or of a group.
        link: a page that says how the results came to be: a paper, or the code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field(min_length=1, max_length=100)
    link: str = Field(pattern=r"^https://[^\s()<>\"]+$")


@dataclass(frozen=True, slots=True)
class Submission:
    """Results of somebody else.

    Attributes:
        about: whose they are.
        cells: those that finished.
    """

    about: About
    cells: tuple[CellRecord, ...]


def main() -> int:
    """Name every fault of the submissions; 1 where there is one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    found = faults(folder)
    for fault in found:
        print(fault)
    print(f"submissions: {len(list(folder.glob('*.zip')))}, faults: {len(found)}")
    return 1 if found else 0


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the submissions in a folder, one line each."""
    found = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix == ".zip":
            try:
                read_submission(file)
            except UadBenchError as error:
                found.append(str(error))
        elif file.name != "README.md" and not (
            file.suffix == ".yaml" and file.with_suffix(".zip").is_file()
        ):
            found.append(f"{file}: belongs to no submission: give NAME.zip and NAME.yaml")
    return found


def read_submissions(folder: Path) -> tuple[Submission, ...]:
    """Return every submission in a folder.

    Raises:
        UadBenchError: one is none.
    """
    return tuple(read_submission(file) for file in sorted(folder.glob("*.zip")))


def read_submission(file: Path) -> Submission:
    """Return one submission.

    Raises:
        UadBenchError: in one line, why it is none.
    """
    if file.stat().st_size > LARGEST_MB * 1_000_000:
        raise UadBenchError(f"{file}: has over {LARGEST_MB} MB; export with --no-histograms")
    try:
        about = About.model_validate(read_yaml(file.with_suffix(".yaml"), "", " with by and link"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UadBenchError(f"{file.with_suffix('.yaml')}: {where}: {first['msg']}") from None
    with opened_results(file) as found:
        names = found.archive.listing.files
        cells = tuple(cell for cell in found.cells if cell.state == "done")
    if any(name.startswith("detectors/") for name in names):
        raise UadBenchError(f"{file}: holds detectors; export without --detectors")
    if not cells:
        raise UadBenchError(f"{file}: holds no finished cell")
    registry = open_registry(None)
    try:
        refuse_other_version(
            cells,
            [registry.protocol(name) for name in sorted({cell.spec.protocol for cell in cells})],
            registry.postprocessings({cell.spec.postprocessing for cell in cells}),
        )
    except UadBenchError as error:
        raise UadBenchError(f"{file}: {error}") from None
    return Submission(about, cells)


def sections(
    submitted: Sequence[Submission], ours: Sequence[CellRecord], metrics: Sequence[str]
) -> Iterator[str]:
    """Yield the parts of a page about submissions, in Markdown: simulated and real people apart.

    Args:
        submitted: the submissions.
        ours: the cells of the leaderboard itself, whose people a submission may share.
        metrics: the numbers that are shown.
    """
    people = {one.data.manifest_hash for one in ours if one.data is not None}
    head = ["submitted by", "method", "dataset", "people", "seed", *metrics]
    for simulated in (True, False):
        rows = [
            _row(one.about, cell, people, metrics)
            for one in submitted
            for cell in one.cells
            if cell.simulated is simulated
        ]
        if rows:
            who = "simulated people" if simulated else "real patients"
            yield f"## Submitted: {who}"
            yield (
                "Results that others sent. Nobody here ran them again. *Same* people are those of "
                "the tables above; numbers on *other* people are not comparable with them."
            )
            yield "\n".join(_line(row) for row in (head, [":--"] * len(head), *rows))


def _row(about: About, cell: CellRecord, people: set[str], metrics: Sequence[str]) -> list[str]:
    same = cell.data is not None and cell.data.manifest_hash in people
    values = (cell.metrics[name].value if name in cell.metrics else None for name in metrics)
    return [
        f"[{_text(about.by)}]({about.link})",
        _text(cell.method_title) + ("" if cell.group == "detector" else f" ({cell.group})"),
        ", ".join(map(_text, _where(cell))),
        "same" if same else "other",
        str(cell.spec.seed),
        *("–" if value is None else f"{value:.3f}" for value in values),
    ]


def _where(cell: CellRecord) -> Iterator[str]:
    """Yield dataset and post-processing, and what else numbers do not compare across."""
    yield from (cell.spec.dataset, cell.spec.postprocessing)
    if cell.spec.protocol != PROTOCOL:
        yield f"protocol {cell.spec.protocol}"
    if cell.spec.space != "template":
        yield f"{cell.spec.space} space"


def _text(value: str) -> str:
    """Somebody's words without a meaning in Markdown or HTML."""
    kept = "".join(f"\\{sign}" if sign in "\\`*_{}[]|#" else sign for sign in value)
    return escape(" ".join(kept.split()))


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


if __name__ == "__main__":
    sys.exit(main())
