"""What servers say at connecting in other languages than English, and which SQLSTATE it means.

wordings.json has PostgreSQL's own translations; `python -m tools.wordings` writes it.

Nothing converts these messages for us: they come before a session has an encoding, in that of the
postmaster's LC_CTYPE, and psycopg decodes them as UTF-8 whatever they are.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("wordings.json")
_PLACEHOLDER: Final = re.compile(r"%(?:\d+\$)?[sud]")
_SPACES: Final = re.compile(r"\s+", re.ASCII)  # what else is a space survives no wrong encoding

LOST: Final = "?\N{REPLACEMENT CHARACTER}"
"""What stands for a character that an encoding does not have, or that we cannot decode."""
_ENOUGH: Final = 5  # characters: with fewer, messages are told apart by their length alone

# Besides UTF-8, in which a postmaster with a locale of that language may write.
_WESTERN: Final = ("iso8859-1",)
_ENCODINGS: Final[dict[str, tuple[str, ...]]] = {
    "ja": ("euc_jp", "cp932"),
    "ko": ("cp949",),
    "pl": ("iso8859-2", "cp1250"),
    "ru": ("koi8-r", "iso8859-5", "cp1251"),
    "tr": ("iso8859-9",),
    "uk": ("koi8-u", "iso8859-5", "cp1251"),
    "zh_CN": ("gb18030",),
    "zh_TW": ("big5",),
}

Wording = tuple[str, ...]
"""What stands between the names that a message quotes."""


def translated_sqlstate(answers: Iterable[str]) -> str | None:
    """Give the SQLSTATE that a server's answers mean in another language, None for none.

    >>> translated_sqlstate(["tut mir leid, schon zu viele Verbindungen"])
    '53300'
    >>> translated_sqlstate(["tut mir leid"])
    """
    told = [flat(answer) for answer in answers]
    for sqlstate, wordings in _wordings().items():
        if any(_says(answer, wording) for answer in told for wording in wordings):
            return sqlstate
    return None


def flat(message: str) -> str:
    """Write a message on one line; a few translations have two."""
    return _SPACES.sub(" ", message.strip())


def telling(message: str) -> bool:
    """Tell whether enough characters of a message, or of its format, have survived its encoding.

    >>> telling('??????? "%s" ?? ???'), telling('???"%s"???????')
    (True, False)
    """
    letters = _PLACEHOLDER.sub("", message)
    if not any(lost in letters for lost in LOST):
        return True
    return len(letters) - sum(map(letters.count, LOST)) >= _ENOUGH


def variants(message: str, language: str) -> Iterator[str]:
    """Give a translation as it may reach us: well, and in each wrong encoding."""
    yield message
    for encoding in _ENCODINGS.get(language, _WESTERN):
        garbled = message.encode(encoding, "replace").decode("utf-8", "replace")
        if telling(garbled):
            yield garbled


@functools.cache
def _wordings() -> dict[str, set[Wording]]:
    """Read the file; only where a server does not speak English."""
    document = json.loads(_FILE.read_text(encoding="utf-8"))
    languages: dict[str, dict[str, list[str]]] = document["wordings"]
    return {
        sqlstate: {
            tuple(_PLACEHOLDER.split(variant))
            for language, messages in translations.items()
            for message in messages
            for variant in variants(message, language)
        }
        for sqlstate, translations in languages.items()
    }


def _says(answer: str, wording: Wording) -> bool:
    """Tell whether an answer is a wording with names in it, however long and in whatever order."""
    first, *others = wording
    if not others:
        return answer == first
    *inner, last = others
    if len(answer) < len(first) + len(last):
        return False
    if not (answer.startswith(first) and answer.endswith(last)):
        return False
    rest = answer[len(first) : len(answer) - len(last)]
    for piece in inner:
        _, found, rest = rest.partition(piece)
        if not found:
            return False
    return True
