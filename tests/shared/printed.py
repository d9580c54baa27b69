"""LaTeX as it is printed in the classes of MIDL, LNCS and IEEE."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

CLASSES = {
    "jmlr": r"\documentclass{jmlr}\title[T]{T}\author{\Name{Ann Author}}",  # MIDL's
    "llncs": r"\documentclass{llncs}\title{T}\author{A}\institute{I}",
    "IEEEtran": r"\documentclass[conference]{IEEEtran}\title{T}\author{A}",
}


def warnings(folder: Path, name: str, sources: Sequence[str]) -> list[str]:
    """What LaTeX warns of in a document of a class; skips the test where there is no such class.

    Args:
        folder: where the document is made.
        name: of the class.
        sources: what is in it.
    """
    if not _installed(name):
        pytest.skip(f"no pdflatex, or no {name}.cls: Debian has it in texlive-publishers")
    text = "\n".join(sources)
    (folder / "main.tex").write_text(
        f"{CLASSES[name]}\\usepackage{{booktabs,graphicx}}\\begin{{document}}\\maketitle Text.\n"
        f"{text}\nText.\\end{{document}}",
        encoding="ascii",
    )
    for _ in range(2):  # references need it
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    log = (folder / "main.log").read_text(errors="replace")
    told = re.findall(r".*(?:Warning|Overfull|Underfull|too large).*", log)
    return [line for line in told if "rerunfilecheck" not in line]


def _installed(name: str) -> bool:
    if shutil.which("pdflatex") is None:
        return False
    found = subprocess.run(["kpsewhich", f"{name}.cls"], capture_output=True, check=False)
    return found.returncode == 0
