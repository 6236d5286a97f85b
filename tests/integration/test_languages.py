"""Servers whose messages are not English: one that is full is told to be full all the same."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from exporter.demo import binaries
from exporter.demo.cluster import Cluster
from tests.integration import upgrades
from tests.integration.slots import fill
from tests.integration.staging import MONITOR, Stage, prepare
from tests.integration.watching import Target, watching

LOCALES: Final = Path("/usr/lib/locale")
ERRORS: Final = "pgconn_poll_errors_total"
FAILURES: Final = "pgconn_probe_failures_total"

# The postmaster's LC_ALL (in a C locale German becomes ASCII), lc_messages, and what it then says.
LANGUAGES: Final = {
    "German": ("C", "de_DE.UTF-8", "Verbindungen sind f?r Superuser"),
    "Japanese": ("C.UTF-8", "ja_JP.UTF-8", "残りの接続スロットは"),
}


@contextlib.contextmanager
def speaking(locale: str, messages: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Run a server that has translations, Debian's PostgreSQL 15, in a language."""
    server = Cluster(upgrades.NEW, {"max_connections": "8", "lc_messages": messages})
    try:
        server.make()
        # Its name alone tells the language to gettext, so any locale will do.
        [utf8, *_] = LOCALES.glob("C.[uU]*8")
        (server.folder / messages).symlink_to(utf8)
        environment = binaries.environment() | {"LC_ALL": locale, "LOCPATH": str(server.folder)}
        monkeypatch.setattr(binaries, "environment", lambda: environment)
        server.start()
        prepare(server)
        yield server
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_full_server_of_another_language(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is too_many_connections and 53300, and a database that is not there is no refusal."""
    locale, messages, words = LANGUAGES[language]
    with speaking(locale, messages, monkeypatch) as server:
        monitor = server.dsn(user=MONITOR)
        targets: dict[str, Target] = {
            "full": {"dsn": monitor, "probe": {"dsn": monitor}},
            "gone": {"dsn": server.dsn(user="postgres", dbname="gone")},
        }
        async with Stage(server) as stage:
            await fill(stage)
            with capture_logs() as logs:
                async with watching(targets) as watch:
                    await watch.until(lambda s: s.value(FAILURES, target="full", sqlstate="53300"))
                    await watch.until(
                        lambda s: all(
                            s.value(ERRORS, target=name, reason=reason)
                            for name, reason in (
                                ("full", "too_many_connections"),
                                ("gone", "authentication"),
                            )
                        )
                    )
                    assert not (await watch.scrape()).all(ERRORS, reason="refused")
    [line] = [x for x in logs if x["event"] == "poll failed" and x["target"] == "full"]
    assert words in line["error"]
