"""Files of a BIDS dataset with names of their own: which are lesion masks, and which are FLAIRs."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.system.yaml_files import read_yaml

_PLACEHOLDERS = {
    "subject": "sub-[A-Za-z0-9]+",
    "subject_id": "[A-Za-z0-9]+",
    "session": "ses-[A-Za-z0-9]+",
    "session_id": "[A-Za-z0-9]+",
}
_FLAG = "--lesion-pattern"


def compiled(pattern: str) -> re.Pattern[str]:
    """Turn a file pattern into a regular expression over a path below the dataset's folder.

    A pattern without ``/`` is compared with the file's name, in whatever folder it is. Otherwise it
    is compared with the whole path below the dataset's folder. ``*`` and ``?`` stay in one folder,
    ``**/`` stands for any folders. ``{subject}`` (``sub-01``), ``{subject_id}`` (``01``),
    ``{session}`` and ``{session_id}`` say whose file it is.

    Raises:
        ValueError: an unknown placeholder, an unbalanced brace, or a wildcard that touches a
            placeholder.
    """
    _refuse_ambiguous(pattern)
    parts, known = [], set()
    for literal, name, _, _ in string.Formatter().parse(pattern):
        parts.append(_glob(literal))
        if name is None:
            continue
        if name not in _PLACEHOLDERS:
            listed = ", ".join(f"{{{each}}}" for each in _PLACEHOLDERS)
            raise ValueError(f"unknown placeholder {{{name}}}; known: {listed}")
        parts.append(f"(?P={name})" if name in known else f"(?P<{name}>{_PLACEHOLDERS[name]})")
        known.add(name)
    anywhere = "" if "/" in pattern else "(?:.*/)?"
    return re.compile(anywhere + "".join(parts), re.DOTALL)


def _refuse_ambiguous(pattern: str) -> None:
    """Refuse a wildcard beside a placeholder: nobody could say where the one ends.

    Raises:
        ValueError: naming the two. ``**/`` before a placeholder ends at a folder and is clear.
    """
    if match := re.search(r"(?:[*?\]]\{\w*\})|(?:\{\w*\}[*?\[{])", pattern):
        raise ValueError(
            f"{match[0]} does not say where the placeholder begins or ends; put a fixed character "
            "between the two, such as _"
        )


def _glob(text: str) -> str:
    """A regular expression for the wildcards of a pattern without placeholders."""
    rules = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\[[^\]/]+\]|.", text.removeprefix("./"), re.DOTALL)
    return "".join(
        rules.get(token, f"[{_negated(token[1:-1])}]" if len(token) > 1 else re.escape(token))
        for token in tokens
    )


def _negated(characters: str) -> str:
    """The inside of a set of characters; ``!`` negates it, as in a shell."""
    escaped = characters.replace("\\", "\\\\").replace("^", "\\^")
    return f"^{escaped[1:]}" if escaped.startswith("!") else escaped


def _checked(pattern: str) -> str:
    try:
        compiled(pattern)
    except (ValueError, re.error) as error:
        raise ValueError(f"{pattern}: no file pattern ({error})") from None
    return pattern


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[Annotated[str, AfterValidator(_checked)], ...], BeforeValidator(_listed)]


class FileMapping(BaseModel):
    """Which files are what, beside those whose names say it as BIDS does.

    Attributes:
        lesion: patterns of lesion masks.
        flair: patterns of FLAIR volumes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lesion: Patterns = ()
    flair: Patterns = ()


def file_mapping(text: str | None) -> FileMapping | None:
    """Read ``--lesion-pattern``: nothing, a pattern of lesion masks, or a mapping file.

    Args:
        text: a pattern, or the path of a YAML file with the keys ``lesion`` and ``flair``.

    Raises:
        UadBenchError: a pattern or a file that cannot be understood.
    """
    if text is None:
        return None
    path = Path(text).expanduser()
    is_file = path.suffix in (".yaml", ".yml")
    values = read_yaml(path, _FLAG, ', such as `lesion: "*_msk.nii.gz"`') if is_file else None
    where = f"{_FLAG} {text}" if is_file else _FLAG
    try:
        mapping = FileMapping.model_validate({"lesion": text} if values is None else values)
    except ValidationError as error:
        raise UadBenchError(f"{where}: {'; '.join(map(_problem, error.errors()))}") from None
    if not mapping.lesion and not mapping.flair:
        raise UadBenchError(f"{where}: names no pattern; give lesion, flair or both")
    return mapping


def no_file_fits(text: str, where: str) -> str:
    """The line for a pattern that fits nothing.

    Args:
        text: ``--lesion-pattern`` as it was given.
        where: what was searched.
    """
    return (
        f"{_FLAG} {text}: fits no file of {where}; a pattern without / is compared with the whole "
        "name, as '*_msk.nii.gz', and only BIDS datasets take patterns"
    )


def _problem(item: object) -> str:
    """One of pydantic's findings in the words of the mapping file."""
    assert isinstance(item, dict)
    if item["type"] == "extra_forbidden":
        return f"{item['loc'][0]}: unknown key; known: {', '.join(FileMapping.model_fields)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message if item["type"] == "value_error" else f"{item['loc'][0]}: {message}"
