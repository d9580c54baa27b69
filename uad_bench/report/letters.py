"""Letters of a figure that its fonts do not have."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from unicodedata import category

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text


def spell_missing(figure: Figure) -> None:
    """Write letters that no font of a figure has as their codes, such as ``[U+4E2D]``.

    They would be empty boxes, with a warning for each. LaTeX tables spell them likewise. With a
    control character an SVG would be no XML, which a browser does not show.
    """
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        texts = axis.get_ticklabels()
        spelled = list(map(_spelled, texts))
        if spelled != [text.get_text() for text in texts]:
            axis.set_ticklabels(spelled)  # an axis writes its own texts anew
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_text(_spelled(text))


def _spelled(text: Text) -> str:
    said = text.get_text()
    if said.isascii() and said.replace("\n", "").isprintable():
        return said
    fonts = [_font(family) for family in text.get_fontfamily()]
    return "".join(one if _has(fonts, one) else f"[U+{ord(one):04X}]" for one in said)


@lru_cache
def _font(family: str) -> FT2Font:
    return get_font(findfont(FontProperties(family=[family])))


def _has(fonts: Iterable[FT2Font], letter: str) -> bool:
    if category(letter) == "Cc":
        return letter == "\n"
    return letter.isspace() or any(font.get_char_index(ord(letter)) for font in fonts)
