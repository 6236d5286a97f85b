"""Which query is slow: what is told of pg_stat_statements."""

from exporter.collectors import Options, StatementMeans
from exporter.exposition import Distribution
from exporter.snapshot import StatementRow, Statements, StatementsInfo
from tests.unit.rows import NOW, statement, told

TEXTS = {1: "SELECT *  FROM t WHERE a = 'x'", 2: "ALTER ROLE app PASSWORD 'x'"}
ONE = ("shop", "app", "1")
TWO = ("shop", "app", "2")


class Looks:
    """A collector that is shown the same server again and again."""

    def __init__(self, top: int = 20) -> None:
        self.means = StatementMeans(Options(statements_top=top, text_length=20))
        self.wanted: set[int] = set()

    def look(
        self, *rows: StatementRow, at: float = NOW, info: StatementsInfo | None = None
    ) -> dict[tuple[str, ...], float | Distribution]:
        """Give what is told, with the texts that were asked for, where there are some."""
        self.wanted = self.means.choose(at, rows)
        texts = {queryid: TEXTS[queryid] for queryid in self.wanted & TEXTS.keys()}
        return told(self.means.collect(Statements(at, rows, info, texts)))


def test_first_look() -> None:
    """Without an earlier look nothing is recent, and that is absent, not zero."""
    assert Looks().look(statement(1, calls=4, seconds=10, rows=3)) == {
        ("pgconn_statement_mean_seconds", *ONE): 2.5,
        ("pgconn_statement_calls_total", *ONE): 4,
        ("pgconn_statement_seconds_total", *ONE): 10,
        ("pgconn_statement_rows_total", *ONE): 3,
        ("pgconn_statement_info", *ONE, "SELECT * FROM t WHE…"): 1,
    }


def test_second_look() -> None:
    """The recent mean is that of the calls in between, and absent without any."""
    looks = Looks()
    looks.look(statement(1, calls=4, seconds=10), statement(2, calls=1))
    found = looks.look(statement(1, calls=5, seconds=16), statement(2, calls=1))
    assert found["pgconn_statement_recent_mean_seconds", *ONE] == 6
    assert found["pgconn_statement_mean_seconds", *ONE] == 3.2
    assert ("pgconn_statement_recent_mean_seconds", *TWO) not in found


def test_texts_are_asked_for_once() -> None:
    """A text is read when its statement is first exported, and again when it comes back."""
    looks = Looks(top=1)
    looks.look(statement(1, seconds=2), statement(2))
    assert looks.wanted == {1}
    found = looks.look(statement(1, seconds=2), statement(2))
    assert looks.wanted == set()
    assert ("pgconn_statement_info", *ONE, "SELECT * FROM t WHE…") in found
    looks.look(statement(2))
    assert looks.wanted == {2}
    looks.look(statement(1, seconds=2), statement(2))
    assert looks.wanted == {1}


def test_a_text_that_is_not_there() -> None:
    """A statement without a text has its figures, and its text is asked for again."""
    looks = Looks()
    found = looks.look(statement(3))
    assert {name for name, *_ in found} == {
        "pgconn_statement_mean_seconds",
        "pgconn_statement_calls_total",
        "pgconn_statement_seconds_total",
        "pgconn_statement_rows_total",
    }
    looks.look(statement(3))
    assert looks.wanted == {3}


def test_one_text_for_several_roles() -> None:
    """Role and database are told apart; the text is asked for once."""
    looks = Looks()
    found = looks.look(statement(2), statement(2, userid=7, usename=None, datname=None))
    assert looks.wanted == {2}
    assert found["pgconn_statement_info", *TWO, "ALTER ROLE"] == 1
    assert found["pgconn_statement_info", "", "", "2", "ALTER ROLE"] == 1


def test_the_union_of_the_rankings() -> None:
    """One statement of each ranking is exported when one is asked for."""
    looks = Looks(top=1)
    before = [statement(n, calls=1000, seconds=1) for n in (1, 2, 3)]
    looks.look(*before, statement(4, seconds=99))
    slow_lately = statement(1, calls=1001, seconds=11)
    busy_lately = statement(2, calls=2000, seconds=21)
    found = looks.look(slow_lately, busy_lately, before[2], statement(4, seconds=99), at=NOW + 30)
    exported = {key[-1] for key in found if key[0] == "pgconn_statement_mean_seconds"}
    assert exported == {"1", "2", "4"}


def test_interruption() -> None:
    """After a failed poll nothing is recent; what was exported stays, its text is read anew."""
    looks = Looks()
    looks.look(statement(1, calls=1))
    looks.means.interrupt()
    found = looks.look(statement(1, calls=9, seconds=9))
    assert ("pgconn_statement_recent_mean_seconds", *ONE) not in found
    assert found["pgconn_statement_calls_total", *ONE] == 9
    assert looks.wanted == {1}


def test_resets_and_evictions() -> None:
    """From extension 1.9 on the server says when it forgot."""
    assert Looks().look(info=StatementsInfo(7, NOW - 3600)) == {
        ("pgconn_statements_reset_timestamp_seconds",): NOW - 3600,
        ("pgconn_statements_evicted_total",): 7,
    }
    assert Looks().look() == {}
