"""Datasets of empty files, and what their adapters find."""

from importlib import import_module
from pathlib import Path

from uad_bench.dataset import Dataset, Scan


def adapter(name: str) -> Dataset:
    dataset = getattr(import_module(f"uad_bench.datasets.{name}"), name.capitalize())()
    assert isinstance(dataset, Dataset)
    return dataset


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def read(name: str, root: Path) -> list[Scan]:
    return list(adapter(name).scans(root))


def relative(root: Path, scan: Scan) -> tuple[str, ...]:
    given = (scan.flair, *scan.lesion, scan.brain_mask, scan.tissues)
    return tuple(str(path.relative_to(root)) for path in given if path is not None)


def participants(root: Path, *rows: tuple[str, str]) -> None:
    lines = ["participant_id\tage\tsplit", *(f"{subject}\t50\t{split}" for subject, split in rows)]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
