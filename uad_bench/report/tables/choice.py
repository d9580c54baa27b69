"""Which results a table or figure shows: chosen by the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.report.tables.chosen import Names, names

NO_CONTROLS = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The methods, post-processings, controls and datasets that are shown.

    Attributes:
        methods: methods that are no controls; all of them if not given.
        postprocessings: likewise.
        controls: likewise; empty for none.
        datasets: likewise.
    """

    methods: tuple[str, ...] | None = None
    postprocessings: tuple[str, ...] | None = None
    controls: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        *,
        methods: Names | None,
        postprocessing: Names | None,
        controls: Names | None,
        datasets: Names | None,
    ) -> Choice:
        """Read what the command line or Python was given.

        Raises:
            UadBenchError: something that was given names nothing.
        """

        def read(flag: str, given: Names | None) -> tuple[str, ...] | None:
            return None if given is None else names(flag, given)

        return cls(
            methods=read("methods", methods),
            postprocessings=read("postprocessing", postprocessing),
            controls=() if controls in (NO_CONTROLS, (), []) else read("controls", controls),
            datasets=read("datasets", datasets),
        )

    def records(self, records: Sequence[CellRecord]) -> tuple[CellRecord, ...]:
        """The records to show.

        Raises:
            UadBenchError: a name is of none of the records; all such names at once.
        """
        there: dict[str, set[str]] = {
            "methods": {one.spec.method for one in records if not one.control},
            "postprocessing": {one.spec.postprocessing for one in records},
            "controls": {one.spec.method for one in records if one.control},
            "datasets": {one.spec.dataset for one in records},
        }
        asked = (self.methods, self.postprocessings, self.controls, self.datasets)
        problems = [
            _unknown(flag, name, there)
            for flag, some in zip(there, asked, strict=True)
            for name in some or ()
            if name not in there[flag]
        ]
        if problems:
            raise UadBenchError("; ".join(problems))
        return tuple(
            one
            for one in records
            if _wanted(one.spec.method, self.controls if one.control else self.methods)
            and _wanted(one.spec.postprocessing, self.postprocessings)
            and _wanted(one.spec.dataset, self.datasets)
        )


def _wanted(name: str, asked: Sequence[str] | None) -> bool:
    return asked is None or name in asked


def _unknown(flag: str, name: str, there: Mapping[str, Iterable[str]]) -> str:
    other = {"methods": "controls", "controls": "methods"}.get(flag, flag)
    if other != flag and name in there[other]:
        kind = "a control" if other == "controls" else "no control"
        return f"--{flag} {name}: it is {kind}: say --{other} {name}"
    known = sorted(there[flag])
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"--{flag} {name}: not in these results.{hint} Available: {', '.join(known) or 'none'}"
