"""What servers say in other languages, and what is left of it in wrong encodings."""

import json
from pathlib import Path
from typing import Final

import pytest

from exporter.server import wordings
from exporter.server.errors import connect_sqlstate
from tools.wordings import MESSAGES

PREFIX: Final = 'connection failed: connection to server at "::1", port 5432 failed: '
DOCUMENT: Final = json.loads(Path(wordings.__file__).with_suffix(".json").read_text("utf-8"))
TRANSLATIONS: Final[dict[str, dict[str, list[str]]]] = DOCUMENT["wordings"]
LANGUAGES: Final = sorted({language for found in TRANSLATIONS.values() for language in found})
# Japanese, Korean and Chinese in their old encodings, Cyrillic, and the West.
ENCODINGS: Final = (
    *("utf-8", "euc_jp", "cp932", "cp949", "gb18030", "big5"),
    *("koi8-r", "koi8-u", "iso8859-5", "cp1251", "iso8859-1", "iso8859-2", "iso8859-9", "cp1250"),
)
NAMES: Final = ("app", "a  b", "new\nline", 'quo"ted', "%s", "straße", "顧客")

# Each came from Debian's PostgreSQL 15: LC_ALL of the postmaster, and the bytes that arrived.
SEEN: Final = (
    ("C", b"FATAL:  tut mir leid, schon zu viele Verbindungen", "53300"),
    ("C", b"FATAL:  zu viele Verbindungen f?r Datenbank >>other<<", "53300"),
    ("C", b"FATAL:  Rolle >>nobody<< existiert nicht", "28000"),
    ("de_DE.ISO-8859-1", "FATAL:  zu viele Verbindungen für Datenbank »other«", "53300"),
    ("de_DE.ISO-8859-1", "FATAL:  Datenbank »nodb« existiert nicht", "3D000"),
    ("ja_JP.UTF-8", "FATAL:  現在クライアント数が多すぎます", "53300"),
    ("ja_JP.EUC-JP", "FATAL:  現在クライアント数が多すぎます", "53300"),
    ("ja_JP.EUC-JP", 'FATAL:  ロール"lim"からの接続が多すぎます', "53300"),
    ("ja_JP.EUC-JP", 'FATAL:  データベース"nodb"は存在しません', "3D000"),
    ("C", b"VAZHNO:  izvinite, uzhe slishkom mnogo klientov", "53300"),
    ("ru_RU.KOI8-R", "ВАЖНО:  извините, уже слишком много клиентов", "53300"),
    ("ru_RU.KOI8-R", 'ВАЖНО:  роль "nobody" не существует', "28000"),
    # Of Japanese nothing is left in a C locale: only its length.
    ("C", b"FATAL:  ???????????????", "unknown"),
    ("C", b'FATAL:  ???"lim"???????????', "unknown"),
)


def filled(message: str, name: str) -> str:
    """Put a name in for each placeholder of a translation."""
    return message.replace("%s", name)


def test_the_languages() -> None:
    """All that PostgreSQL's server speaks know a server that is full."""
    wanted = {"de", "es", "fr", "id", "it", "ja", "ka", "ko", "pl", "pt_BR", "ru", "sv", "tr"}
    assert set(LANGUAGES) == wanted | {"uk", "zh_CN", "zh_TW"}
    assert sorted(TRANSLATIONS["53300"]) == LANGUAGES
    assert list(TRANSLATIONS) == list(MESSAGES)


@pytest.mark.parametrize("sqlstate", MESSAGES)
def test_english(sqlstate: str) -> None:
    """What is translated is what we know in English."""
    for message in MESSAGES[sqlstate]:
        assert connect_sqlstate(f"{PREFIX}FATAL:  {filled(message, 'app')}") == sqlstate


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_translation(language: str, name: str) -> None:
    """Each means its SQLSTATE, whatever the name in it."""
    for sqlstate, translations in TRANSLATIONS.items():
        for message in translations.get(language, ()):
            assert connect_sqlstate(f"{PREFIX}FATAL:  {filled(message, name)}") == sqlstate, message


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(encoding: str) -> None:
    """What arrives in a wrong encoding is understood or not, but never misunderstood."""
    for sqlstate, translations in TRANSLATIONS.items():
        for message in {message for found in translations.values() for message in found}:
            sent = f"{PREFIX}FATAL:  {filled(message, 'app')}".encode(encoding, "replace")
            assert connect_sqlstate(sent.decode("utf-8", "replace")) in {sqlstate, "unknown"}


@pytest.mark.parametrize(("locale", "sent", "sqlstate"), SEEN)
def test_what_was_seen(locale: str, sent: bytes | str, sqlstate: str) -> None:
    """The encoding is the postmaster's, and psycopg takes it for UTF-8."""
    if isinstance(sent, str):
        sent = sent.encode(locale.partition(".")[2])
    assert connect_sqlstate(PREFIX + sent.decode("utf-8", "replace")) == sqlstate


def test_what_stands_around() -> None:
    """Neither a detail nor libpq's second attempt, without encryption, belongs to the wording."""
    full = "FATAL:  tut mir leid, schon zu viele Verbindungen"
    denied = "FATAL:  keine Berechtigung für Datenbank »shop«"
    detail = "\nDETAIL:  Benutzer hat das CONNECT-Privileg nicht.\n"
    assert connect_sqlstate(f"{PREFIX}{denied}{detail}") == "42501"
    other = PREFIX.removeprefix("connection failed: ")
    assert connect_sqlstate(f"{PREFIX}FATAL:  etwas anderes\n{other}{full}\n") == "53300"
    assert connect_sqlstate(f"{PREFIX}{denied}\n{other}{full}\n") == "53300"


def test_two_lines() -> None:
    """A few French messages have a second line."""
    first = "les emplacements de connexions restants sont réservés pour les connexions"
    second = "superutilisateur non relatif à la réplication"
    assert connect_sqlstate(f"{PREFIX}FATAL:  {first}\n{second}\n") == "53300"


@pytest.mark.parametrize(
    "words",
    [
        "FATAL:  tut mir leid",
        "FATAL:  tut mir leid, schon zu viele Verbindungen oder nicht",
        "FATAL:  Datenbank »shop« nimmt gegenwärtig keine Verbindungen an",
        "ПОМИЛКА:  невідомо",
        "FATAL:  ??????",
        "FATAL:  ",
    ],
)
def test_other_words(words: str) -> None:
    """What no translation says stays unknown."""
    assert connect_sqlstate(PREFIX + words) == "unknown"
