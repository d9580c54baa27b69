"""Texts: what can be written, what must not be shown, and how a time is said."""

import re


def is_text(word: str) -> bool:
    """Whether a word can be written as UTF-8.

    Python hands on the name of a file whose bytes are no UTF-8 with lone surrogates in it.
    """
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


_PASSWORDS = re.compile(r"(?<=://)([^\s:/@]*):[^\s]*@|(?<=[?&]password=)[^&\s'\"]*")


def without_passwords(text: str) -> str:
    """Return a text, such as a command, without the passwords of the addresses in it.

    Examples:
        >>> without_passwords("--storage postgresql://ann:secret@db/studies -m spa")
        '--storage postgresql://ann:***@db/studies -m spa'
    """
    return _PASSWORDS.sub(lambda found: f"{found[1]}:***@" if found[1] is not None else "***", text)


def duration(seconds: float) -> str:
    """Say a time as a person would, such as ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
