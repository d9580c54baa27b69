"""An export run again: what ``uad-bench reproduce`` and ``uad_bench.reproduce`` do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from uad_bench.errors import UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.runner.events import Listener
from uad_bench.runner.settings import OF_MACHINE
from uad_bench.sharing.reproduce import Comparison
from uad_bench.sharing.reproduce import reproduce as run_and_compare

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Reproduction:
    """What running an export again came to.

    Attributes:
        comparison: every number of then beside that of now, and cells without.

    Examples:
        >>> import uad_bench as ub
        >>> given = ub.load_results("results").export("to-see.zip")
        >>> again = ub.reproduce(given, "again", data_root="data", progress=False)
        >>> again.to_frame().moved.sum()
        np.int64(0)
    """

    comparison: Comparison

    @property
    def holds(self) -> bool:
        """Whether every cell was run again, and every number is within its tolerance."""
        return self.comparison.holds

    def to_frame(self) -> pd.DataFrame:
        """Return one row per number: cell, ``metric``, ``then``, ``now``, whether it ``moved``.

        ``part`` says whether it is the metric's ``value`` or an end of its interval, ``low`` or
        ``high``.
        """
        import pandas as pd

        numbers = self.comparison.numbers
        of_cell = ("method", "dataset", "protocol", "postprocessing", "seed")
        of_number = ("metric", "part", "unit", "then", "now", "moved", "difference", "tolerance")
        columns = {name: [getattr(one.cell, name) for one in numbers] for name in of_cell}
        columns |= {
            name: [getattr(one, name) for one in numbers] for name in (*of_number, "within")
        }
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        numbers, lost = self.comparison.numbers, len(self.comparison.not_compared)
        cells = len({number.cell.name for number in numbers})
        if not numbers:
            return f"no number can be compared: {lost} cells could not be run again"
        moved = sum(number.moved for number in numbers)
        beyond = sum(not number.within for number in numbers)
        what = (
            f"{moved} of {len(numbers)} numbers of {cells} cells moved, {beyond} of them by more "
            "than another processor explains"
            if moved
            else f"every number of {cells} cells is the same"
        )
        return f"{what}; {lost} cells could not be compared" if lost else what


def reproduce(
    archive: str | Path, results: str | Path, *, progress: bool = True, **settings: Any
) -> Reproduction:
    """Run again what an export holds, and compare every number, as ``uad-bench reproduce`` does.

    Args:
        archive: the zip that ``export`` wrote.
        results: a folder for the cells of now. The same call goes on where one was interrupted.
        progress: whether to tell on stderr what cannot be run again, and what is going on.
        settings: flags of ``uad-bench reproduce`` in snake_case, such as ``data_root``.

    Raises:
        UadBenchError: the archive cannot be used, or none of its cells can be run again here.

    Examples:
        >>> import uad_bench as ub
        >>> given = ub.load_results("results").export("to-check.zip")
        >>> again = ub.reproduce(given, "again", data_root="data", progress=False)
        >>> again
        every number of 2 cells is the same
        >>> again.holds
        True
    """
    if unfit := sorted(settings.keys() - set(OF_MACHINE)):
        raise UadBenchError(
            f"reproduce: {', '.join(unfit)}: the archive says it; known: {', '.join(OF_MACHINE)}"
        )
    given = {name: value for name, value in settings.items() if value is not None}
    said = [repr(str(archive)), repr(str(results))]
    said += [f"{name}={value!r}" for name, value in given.items()]
    with ExitStack() as stack:
        shown = LiveProgress(Console(stderr=True, force_jupyter=False))
        tell = stack.enter_context(shown) if progress else lambda _: None
        command = f"uad_bench.reproduce({', '.join(said)})"
        return compute(Path(archive), Path(results), given, tell, command=command)


def compute(
    archive: Path, results: Path, given: Mapping[str, Any], tell: Listener, *, command: str
) -> Reproduction:
    """Do what is left of an export that is run again.

    Args:
        archive: the zip.
        results: a folder for the cells of now.
        given: settings of this machine.
        tell: told what cannot be run again, and what is going on.
        command: how to go on, for ``status``.

    Raises:
        UadBenchError: the archive cannot be used, or none of its cells can be run again here.
    """
    zip_, where = archive.expanduser(), results.expanduser()
    return Reproduction(run_and_compare(zip_, where, given, tell, command=command))
