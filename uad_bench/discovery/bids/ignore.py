"""``.bidsignore``: files of a dataset that its owner waives."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from uad_bench.discovery.walk import check_regular, is_image, walk_files
from uad_bench.errors import UadBenchError

NAME = ".bidsignore"


def find_images(root: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return every volume below a dataset's folder: those that count, and those it waives.

    Args:
        root: the dataset's own folder.

    Raises:
        UadBenchError: a ``.bidsignore`` that cannot be understood.
        OSError: a file or folder that cannot be read.
    """
    waived = waived_by(root)
    found: dict[bool, list[Path]] = {False: [], True: []}
    for path in walk_files(root):
        if is_image(path.name):
            found[waived(path)].append(path)
    return tuple(found[False]), tuple(found[True])


def waived_by(root: Path) -> Callable[[Path], bool]:
    """Return a test of whether a file below ``root`` is waived by its ``.bidsignore``.

    The file has one pattern a line, as ``.gitignore`` has.

    Args:
        root: the dataset's own folder.

    Raises:
        UadBenchError: a file that is not text, or holds no patterns.
        OSError: a file that cannot be read, or what is no file.
    """
    file = root / NAME
    if not file.exists():
        return lambda _: False
    check_regular(file)
    from pathspec import GitIgnoreSpec

    try:
        spec = GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8-sig").splitlines())
    except (ValueError, re.error) as error:  # a wrong pattern, or another encoding
        raise UadBenchError(
            f"{file}: {error}; write one pattern a line, as in .gitignore"
        ) from None
    return lambda path: spec.match_file(path.relative_to(root).as_posix())
