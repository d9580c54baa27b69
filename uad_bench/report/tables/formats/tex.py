"""Any text as ASCII that pdflatex sets as it stands, and how wide that is."""

from __future__ import annotations

import re
import unicodedata

_PLAIN = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"$\mathdollar$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    '"': "''",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"\S{}",
    "¶": r"\P{}",
    "°": r"$^{\circ}$",
    "µ": r"$\mu$",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}

_EM = 9.25
"""Points of an em in Computer Modern at 9 points, to which all widths here belong."""

_WIDTHS = {
    character: width
    for characters, width in (
        ("!',.:;[]`il", 0.29),
        ("fj", 0.31),
        ("-I", 0.37),
        ("()rt", 0.40),
        ("s", 0.41),
        ("cez ", 0.46),
        ("$*/0123456789?agoqvxy^~{}", 0.53),
        ("JSZbdhknpu", 0.63),
        ("LF", 0.67),
        ("EPB", 0.73),
        ("CTwAHNRUVXY", 0.77),
        ("DGKOQ&+=<>@", 0.81),
        ("#%mM", 0.94),
        ("W", 1.06),
    )
    for character in characters
}
_OTHER, _CODE = 0.8, 4.9
_BROKEN = 8
"""Letters after which a word of running text may be broken, if it has more than twice as many."""

_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}


def escape(text: str) -> str:
    r"""Write any text as ASCII that pdflatex sets as it stands.

    Accented Latin letters become accent commands; a character that has no spelling here becomes
    its code, such as ``[U+4E2D]``; control characters and line ends become spaces. Two hyphens
    stay two, as in a flag.
    """
    plain = unicodedata.normalize("NFC", text)
    pairs = zip(plain, f"{plain[1:]} ", strict=False)
    source = "".join("-{}" if one == after == "-" else _escaped(one) for one, after in pairs)
    return source.replace(r" \%", r"\,\%")


def _escaped(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    if character.isspace() or unicodedata.category(character).startswith("C"):
        return " "
    if character.isascii():
        return character
    base, *accents = list(unicodedata.normalize("NFD", character))
    if len(accents) == 1 and accents[0] in _ACCENTS and base.isascii() and base.isalpha():
        dotless = {"i": r"\i", "j": r"\j"}.get(base, base)
        return f"\\{_ACCENTS[accents[0]]}{{{dotless}}}"
    return f"[U+{ord(character):04X}]"


def breakable(text: str) -> str:
    """Write running text as :func:`escape` does; a long word may be broken after every few letters.

    Names of files and of scans are such words.
    """
    words = unicodedata.normalize("NFC", text).split()
    return " ".join(
        r"\allowbreak{}".join(
            escape(word[at : at + _BROKEN]) for at in range(0, len(word), _BROKEN)
        )
        if len(word) > 2 * _BROKEN
        else escape(word)
        for word in words
    ).replace(r" \%", r"\,\%")


def points(text: str) -> float:
    """About how wide a text is in points, in Computer Modern at 9 points; rather too wide."""
    return _EM * sum(_width(one) for one in unicodedata.normalize("NFC", text))


def _width(character: str) -> float:
    if character in _WIDTHS:
        return _WIDTHS[character]
    source = _escaped(character)
    if source.startswith("[U+"):
        return _CODE
    base = unicodedata.normalize("NFD", character)[0]
    return _WIDTHS.get(base, _OTHER)


def wrapped(text: str, width: float) -> tuple[str, ...]:
    """Break a text into lines of at most so many points, at spaces where that is possible.

    An arrow stays with the word before it.
    """
    lines = [""]
    whole = re.sub(" (?=[↑↓])", "\N{NO-BREAK SPACE}", " ".join(text.split()))
    for word in whole.split(" "):
        together = f"{lines[-1]} {word}".strip()
        if points(together) <= width:
            lines[-1] = together
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and points(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return tuple(lines)


def shortstack(text: str, width: float, side: str) -> str:
    """Write a text in lines of at most so many points, one above the other.

    Args:
        text: any text.
        width: points.
        side: where the lines are aligned: ``l``, ``c`` or ``r``.
    """
    lines = [_guarded(escape(line)) for line in wrapped(text, width)]
    if len(lines) == 1:
        return lines[0]
    stack = r"\\".join(lines)
    return rf"\shortstack[{side}]{{{stack}}}"


def _guarded(source: str) -> str:
    r"""Source that ``\\`` before it does not take for its argument."""
    return f"{{}}{source}" if source.startswith(("*", "[")) else source
