"""Write the server's words at connecting, in all languages that it speaks: wordings.json.

By hand, when a new release of Debian's brings another PostgreSQL: `python -m tools.wordings`.
"""

import gettext
import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from exporter.server.wordings import flat, telling
from tools import debian

FILE: Final = Path(__file__).parents[1] / "exporter" / "server" / "wordings.json"
RELEASES: Final = {"13": "bullseye", "15": "bookworm", "17": "trixie"}
"""Debian's releases whose PostgreSQL, with those between them, have all wordings there are."""

NOTICE: Final = {
    "source": "the message catalogs of PostgreSQL " + ", ".join(RELEASES),
    "copyright": "Portions Copyright (c) 1996-2024, PostgreSQL Global Development Group",
    "licence": "PostgreSQL",
    "written_by": "python -m tools.wordings",
}
_METHODS: Final = (
    *('"trust"', "BSD", "GSSAPI", "Ident", "LDAP", "PAM", "Peer", "RADIUS", "SSPI"),
    "certificate",
)
_WHO: Final = 'host "%s", user "%s", database "%s"'
MESSAGES: Final[dict[str, tuple[str, ...]]] = {
    "53300": (
        "remaining connection slots are reserved for non-replication superuser connections",
        'remaining connection slots are reserved for roles with privileges of the "%s" role',
        "remaining connection slots are reserved for roles with the %s attribute",
        "sorry, too many clients already",
        'too many connections for role "%s"',
        'too many connections for database "%s"',
    ),
    "28P01": ('password authentication failed for user "%s"',),
    "28000": (
        f"no pg_hba.conf entry for {_WHO}",
        f"no pg_hba.conf entry for {_WHO}, %s",
        f"pg_hba.conf rejects connection for {_WHO}",
        f"pg_hba.conf rejects connection for {_WHO}, %s",
        'role "%s" does not exist',
        'role "%s" is not permitted to log in',
        *(f'{method} authentication failed for user "%s"' for method in _METHODS),
    ),
    "3D000": ('database "%s" does not exist',),
    "42501": ('permission denied for database "%s"',),
    "57P03": (
        "the database system is in recovery mode",
        "the database system is not accepting connections",
        "the database system is not yet accepting connections",
        "the database system is shutting down",
        "the database system is starting up",
    ),
}
"""What a server says in English, by SQLSTATE, what tells most first."""


def main() -> None:
    """Write the file anew."""
    with tempfile.TemporaryDirectory(prefix="wordings-") as name:
        for major, release in RELEASES.items():
            debian.unpack([f"postgresql-{major}"], Path(name), release=release)
        document = NOTICE | {"wordings": wordings(Path(name) / "usr/share/locale")}
    FILE.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def wordings(catalogs: Path) -> dict[str, dict[str, list[str]]]:
    """Give the translations by SQLSTATE and language, each also as a C locale has it sent."""
    found: dict[str, dict[str, set[str]]] = {state: defaultdict(set) for state in MESSAGES}
    for file in catalogs.glob("*/LC_MESSAGES/postgres-*.mo"):
        language = file.parts[-3]
        with file.open("rb") as binary:
            translations = gettext.GNUTranslations(binary)
        for state, messages in MESSAGES.items():
            found[state][language].update(_translated(messages, translations))
    return {
        state: {language: _with_ascii(said) for language, said in sorted(languages.items()) if said}
        for state, languages in found.items()
    }


def _translated(messages: Iterable[str], translations: gettext.GNUTranslations) -> Iterator[str]:
    for message in messages:
        if (translated := translations.gettext(message)) != message:
            yield flat(translated)


def _with_ascii(said: set[str]) -> list[str]:
    """Add what the C library makes of it for a server whose LC_CTYPE is C."""
    text = "\n".join(sorted(said))
    done = subprocess.run(
        ["iconv", "-f", "UTF-8", "-t", "ASCII//TRANSLIT"],
        input=text,
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    return sorted(said.union(filter(telling, done.stdout.split("\n"))))


if __name__ == "__main__":
    main()
