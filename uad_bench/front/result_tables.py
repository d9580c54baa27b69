"""Tables and lines of results that show themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from uad_bench.report.statistics.listing import Listing
    from uad_bench.report.tables.formats.names import Format
    from uad_bench.report.tables.model import Table


@dataclass(frozen=True, slots=True, repr=False)
class ResultTables:
    """Tables that show themselves: as HTML in a notebook, as in the terminal elsewhere.

    Attributes:
        tables: one per protocol and space.
    """

    tables: tuple[Table, ...]

    def __str__(self) -> str:
        return self._as("terminal")

    def __repr__(self) -> str:
        return str(self).removesuffix("\n")

    def _repr_html_(self) -> str:
        from uad_bench.report.tables.formats.html import html

        return "\n".join(map(html, self.tables))

    def latex(self) -> str:
        """Return LaTeX source for the packages booktabs and graphicx."""
        return self._as("latex")

    def markdown(self) -> str:
        """Return Markdown as GitHub shows it."""
        return self._as("markdown")

    def html(self) -> str:
        """Return a whole page of HTML."""
        return self._as("html")

    def csv(self) -> str:
        """Return one line per number, at full precision and with its interval."""
        return self._as("csv")

    def to_frame(self) -> pd.DataFrame:
        """Return the lines of :meth:`csv` as a frame: one row per number shown."""
        import pandas as pd

        from uad_bench.report.tables.formats.render import CSV_HEADER, csv_rows

        return pd.DataFrame(csv_rows(self.tables), columns=list(CSV_HEADER))

    def _as(self, form: Format) -> str:
        from uad_bench.report.tables.formats.render import render

        return render(self.tables, form)


@dataclass(frozen=True, slots=True, repr=False)
class ResultListing:
    """Lines of results that show themselves: as HTML in a notebook, as in the terminal elsewhere.

    Attributes:
        listing: the lines, and what they say in sentences.
    """

    listing: Listing

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the lines say, in words."""
        return self.listing.sentences

    def to_frame(self) -> pd.DataFrame:
        """Return one row per line, at full precision."""
        return self.listing.to_frame()

    def __str__(self) -> str:
        return self._as("terminal")

    def __repr__(self) -> str:
        return str(self).removesuffix("\n")

    def _repr_html_(self) -> str:
        return self._as("html")

    def latex(self) -> str:
        """Return LaTeX source for the package booktabs."""
        return self._as("latex")

    def markdown(self) -> str:
        """Return Markdown as GitHub shows it."""
        return self._as("markdown")

    def csv(self) -> str:
        """Return one line per row, at full precision."""
        return self._as("csv")

    def _as(self, form: Format) -> str:
        from uad_bench.report.statistics.listing import render_listing

        return render_listing(self.listing, form)
