"""A drawing of a page."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of a page.

    Attributes:
        title: its caption.
        alt: what it shows, for who cannot see it.
        svg: the file's bytes.
    """

    title: str
    alt: str
    svg: bytes

    @property
    def url(self) -> str:
        """The drawing itself, as an address."""
        return f"data:image/svg+xml;base64,{b64encode(self.svg).decode()}"
