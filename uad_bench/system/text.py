"""What can be written into a text file."""


def is_text(word: str) -> bool:
    """Whether a word can be written as UTF-8.

    Python hands on the name of a file whose bytes are no UTF-8 with lone surrogates in it.
    """
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
