"""Query texts: no literal and no comment is shown, whatever the text."""

import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.diagnosis.texts import safe_text
from tests.unit.diagnosis.lexer import visible

# What pg_stat_statements of 13 to 18 keeps in clear, by experiment, and what it does not: every
# one of them was run on each version.
UTILITY = {
    "create role secret_r login password 'SECRET'": "CREATE ROLE",
    "alter role secret_r password 'SECRET'": "ALTER ROLE",
    "alter user s with encrypted password 'SECRET' valid until 'infinity'": "ALTER USER",
    "create user mapping if not exists for r server nope options (user 'u', password 'SECRET')": (
        "CREATE USER MAPPING"
    ),
    "do $$ begin perform 'SECRET'; end $$": "DO",
    "set application_name='SECRET'": "SET",
    "set application_name to SECRET": "SET",
    "comment on role secret_r is 'SECRET'": "COMMENT",
    "create table if not exists sectab(a text default 'SECRET')": "CREATE TABLE",
    "copy (select 'SECRET') to stdout": "COPY",
    "copy t from program 'curl SECRET'": "COPY",
    "explain select 'SECRET'": "EXPLAIN",
    "declare cur cursor with hold for select 'SECRET'": "DECLARE",
    "prepare pp as select 'SECRET'": "PREPARE",
    "create subscription s connection 'host=h password=SECRET' publication p with (x)": (
        "CREATE SUBSCRIPTION"
    ),
    "create materialized view secmv as select 'SECRET'::text a": "CREATE MATERIALIZED VIEW",
    "call secproc('SECRET')": "CALL",
    "notify ch, 'SECRET'": "NOTIFY",
    "prepare transaction 'SECRET'": "PREPARE",
    "security label on role secret_r is 'SECRET'": "SECURITY LABEL",
    "create view secview as select 'SECRET'::text a": "CREATE VIEW",
    "create or replace view SECRET as select 1": "CREATE VIEW",
    "create unlogged table SECRET (a int)": "CREATE TABLE",
    "create unique index concurrently SECRET on t (a)": "CREATE INDEX",
    "create foreign table SECRET (a int) server s": "CREATE FOREIGN TABLE",
    "drop owned by SECRET": "DROP OWNED",
    "refresh materialized view SECRET": "REFRESH MATERIALIZED VIEW",
    "commit prepared 'SECRET'": "COMMIT PREPARED",
    "rollback prepared 'SECRET'": "ROLLBACK PREPARED",
    "alter system set archive_command='SECRET'": "ALTER SYSTEM",
    "alter SECRET set x": "ALTER",
    "BEGIN": "BEGIN",
    "/* SECRET */ vacuum": "VACUUM",
    "-- SECRET\n /* a /* b */ c */ analyze t": "ANALYZE",
    "bad syntax 'SECRET'": "other",
    "SECRET": "other",
    "'SECRET": "other",
    "/* SECRET": "other",
    "": "other",
    "§": "other",
}

PLANNABLE = {
    "insert into sectab values('SECRET')": "insert into sectab values(?)",
    "select 'SECRET'": "select ?",
    "SELECT $1": "SELECT $1",
    "select 1 /* SECRET comment */": "select ?",
    "/* SECRET */ select 2": "select ?",
    "select dblink_connect('password=SECRET')": "select dblink_connect(?)",
    "select pg_catalog.set_config('application_name','SECRET',false)": (
        "select pg_catalog.set_config(?,?,false)"
    ),
    r"select e'\x' || 'SECRET' from generate_series(1,3) where 'SECRET' <> ''": (
        "select ? || ? from generate_series(?,?) where ? <> ?"
    ),
    "with a as (select 'SECRET') table a": "with a as (select ?) table a",
    "VALUES ('SECRET', 1)": "VALUES (?, ?)",
    "merge into t using s on t.a = 'SECRET' when matched then delete": (
        "merge into t using s on t.a = ? when matched then delete"
    ),
    "((select 'SECRET'))": "((select ?))",
    "update t set a = U&'SECRET' where b = n'SECRET' and c = x'5EC' and d = b'01'": (
        "update t set a = ? where b = ? and c = ? and d = ?"
    ),
    "delete from t where a = $SECRET$ it's $$ SECRET $SECRET$": "delete from t where a = ?",
    "select $$SECRET$$, $1, $a$SECRET$b$SECRET$a$": "select ?, $1, ?",
    "select '' 'SECRET'": "select ? ?",
    "select 'it''s SECRET'": "select ?",
    "select a--SECRET\n,b": "select a ,b",
    "select a -- SECRET\rfrom t": "select a from t",
    "select a /* /* SECRET */ SECRET */ from t": "select a from t",
    "select a\t\n  ,\r\n b": "select a , b",
}

NUMBERS = ["1", "12.5", ".5", "5.", "1e9", "1.5E-10", "2e+3", "1_000", "0x5EC2E7", "0b01", "0o17"]

UNTERMINATED = [
    "select 'SECRET",
    "select 'it''s SECRET",
    "select 'a' 'SECRET",
    r"select e'SECRET",
    r"select e'it''s SECRET",
    r"select e'a''b\'SECRET",
    "select e'SECRET\\",
    "select $$SECRET",
    "select $tag$SECRET$ta",
    "select $tag$SECRET$TAG$ SECRET",
    "select 1 /* SECRET",
    "select 1 /* /* */ SECRET",
    "select 1 -- SECRET",
    "select U&'SECRET",
    "select b'SECRET",
]

# Where an end of a literal depends on standard_conforming_strings of the session that wrote it.
BACKSLASHES = [
    r"select 'it\'s SECRET'",
    r"select 'a\', 'SECRET'",
    r"select '\', SECRET, '\'",
    r"select n'\' SECRET '",
    r"select U&'\0061' 'SECRET'",
    "select E'a'\n'b\\' SECRET '",
    "select E'a' -- c\n 'b\\' SECRET '",
]

# Where another lexer would see another boundary.
BOUNDARIES = {
    "select ✓e'a\\', 'SECRET'": "SELECT",
    "select a\u00a0e'b\\', 'SECRET'": "SELECT",
    "select 1e$$, 'a$$SECRET'": "SELECT",
    "select 1_000$$ SECRET $$": "SELECT",
    "select 1✓e'a\\', 'SECRET'": "SELECT",
    "select $✓$SECRET it's$✓$": "select ?",
    "select $tag✓$SECRET $tag$ SECRET$tag✓$": "select ?",
    "select a -- c\r, 'b\nSECRET'": "select a , ?",
    "select a$b$'SECRET'": "select a$b$?",
    "select tablee'SECRET'": "select tablee?",
    "select \"e\"'SECRET'": 'select "e"?',
    "select 1e'SECRET'": "select ??",
    "select a/*e*/'SECRET'": "select a ?",
    "select $1'SECRET'": "select $1?",
    'select "a--b", \'SECRET\', "/*"': 'select "a--b", ?, "/*"',
    "select '--', 'SECRET' /* ' */, 'SECRET'": "select ?, ? , ?",
    "select a*/*SECRET*/b": "select a* b",
    "select a/*/SECRET*/b": "select a b",
    "select a/***SECRET***/b": "select a b",
    "select u&\"d\\0061t'a\" 'SECRET'": 'select u&"d\\0061t\'a" ?',
}


@pytest.mark.parametrize(("query", "shown"), UTILITY.items())
def test_utility_statements(query: str, shown: str) -> None:
    """Nothing but the command's own words is shown of what pg_stat_statements keeps in clear."""
    assert safe_text(query, 200) == shown


@pytest.mark.parametrize(("query", "shown"), PLANNABLE.items())
def test_plannable_statements(query: str, shown: str) -> None:
    """Names and parameters are kept, literals masked, comments dropped, white space joined."""
    assert safe_text(query, 200) == shown


@pytest.mark.parametrize(("query", "shown"), BOUNDARIES.items())
def test_boundaries(query: str, shown: str) -> None:
    """A literal begins and ends where PostgreSQL's own lexer says."""
    assert safe_text(query, 200) == shown


@pytest.mark.parametrize("query", BACKSLASHES)
def test_backslashes(query: str) -> None:
    """Where a literal's end is not certain, only the command is shown."""
    assert safe_text(query, 200) == "SELECT"


@pytest.mark.parametrize("query", UNTERMINATED)
def test_unterminated(query: str) -> None:
    """What does not end, as in a text that was cut, hides all of the rest."""
    shown = safe_text(query, 200)
    assert shown.casefold().startswith("select")
    assert "SECRET" not in shown


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers(number: str) -> None:
    """Numbers are literals, too; digits in names and parameters are not."""
    assert safe_text(f"select t1.c2, {number}+{number}, $3", 200) == "select t1.c2, ?+?, $3"


@pytest.mark.parametrize("query", ["SELECT a FROM t", "select a from t", "SELECT", "  table t "])
def test_what_needs_no_change(query: str) -> None:
    """Upper and lower case stay as they are."""
    assert safe_text(query, 200) == query.strip()


def test_names() -> None:
    """Quoted names are kept, though they look like a string, a comment or a keyword."""
    query = 'SELECT "it\'s", "a ""b"" --c", "Straße" FROM "select" WHERE ünï = $1 AND a_b$c = $2'
    assert safe_text(query, 200) == query


@pytest.mark.parametrize(
    ("length", "shown"),
    [(200, "SELECT abc"), (10, "SELECT abc"), (9, "SELECT a…"), (6, "SELEC…"), (1, "…")],
)
def test_length(length: int, shown: str) -> None:
    """A text is never longer than allowed, and it shows where it was cut."""
    assert safe_text("SELECT\n abc -- SECRET", length) == shown


def test_the_cut_counts_what_is_shown() -> None:
    """A long comment or literal does not use up the length."""
    query = f"/*{'SECRET ' * 99}*/ SELECT '{'SECRET ' * 99}', \n\n{' ' * 99} a FROM t"
    assert safe_text(query, 18) == "SELECT ?, a FROM t"
    assert safe_text(query, 17) == "SELECT ?, a FROM…"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT " + "(" * 1_000_000,
        "SELECT '" + "a" * 1_000_000 + "'",
        "SELECT '" + "''" * 500_000,
        "SELECT e'" + "\\'" * 500_000,
        'SELECT "' + '""' * 500_000,
        "SELECT " + "/*" * 500_000,
        "SELECT " + "/* SECRET */   " * 66_000,
        "SELECT " + "$a" * 500_000,
        "SELECT " + "1e" * 500_000,
        "ALTER ROLE " + "x " * 500_000,
        " " * 1_000_000,
    ],
    ids=lambda query: f"{query[:9]}{query[-4:]}",
)
def test_huge_texts(query: str) -> None:
    """No text of a million characters keeps the loop busy."""
    started = time.process_time()
    shown = safe_text(query, 200)
    assert time.process_time() - started < 1
    assert len(shown) <= 200


PIECES = (
    *("SECRET", "'", "''", "e'", "E'", "U&'", "b'", "n'", "x'", "\\", "\\'", "\\\\", '"', '""'),
    *('u&"', "$$", "$a$", "$✓$", "$a", "$1", "$", "--", "/*", "*/", "/", "*", "\n", "\r", " "),
    *("\t", "e", "é", "\u00a0", "_", "1", "1e", ".", ",", "(", "+", "?", "&"),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join))
@example("e'a''b\\'SECRET")
@example("✓e'a\\', 'SECRET'")
@example("$✓$SECRET x$✓$")
@example("--c\r, 'a\nSECRET'")
@example("1e$$, 'a$$SECRET'")
def test_nothing_from_a_literal_is_shown(soup: str) -> None:
    """Of any text, no more is shown than what PostgreSQL sees outside of literals and comments."""
    assert not leaks(f"SELECT {soup}")


def test_many_made_up_texts() -> None:
    """The same of thousands of texts, which are the same ones each time."""
    chance = random.Random(1)
    soups = ("".join(chance.choices(PIECES, k=chance.randint(1, 12))) for _ in range(8000))
    assert [soup for soup in soups if leaks(f"SELECT {soup}")] == []


def leaks(query: str) -> bool:
    """Tell whether more is shown than stands outside, with either kind of strings."""
    shown = safe_text(query, 10_000).count("SECRET")
    return shown > 0 and any(
        shown > visible(query, standard_strings=standard).count("SECRET")
        for standard in (True, False)
    )


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters() | st.sampled_from("'\\$\n/*-\"")), st.sampled_from("abcdef"))
def test_any_literal_is_masked(value: str, way: str) -> None:
    """A value is not shown, in whatever way it was quoted."""
    value = f"SECRET{value}SECRET"
    doubled, escaped = value.replace("'", "''"), value.replace("\\", r"\\").replace("'", r"\'")
    literal = {
        "a": f"'{doubled}'",
        "b": f"E'{escaped}'",
        "c": f"$SECRET${value.replace('$', '')}$SECRET$",
        "d": f"U&'{doubled}'",
        "e": f"/*{value.replace('*', '')}*/",
        "f": "--" + value.replace("\n", "").replace("\r", "") + "\n",
    }[way]
    shown = safe_text(f"SELECT a, {literal} FROM t", 10_000)
    assert "SECRET" not in shown
    assert shown in {"SELECT", "SELECT a, ? FROM t", "SELECT a, FROM t"}


@settings(max_examples=40, deadline=None)
@given(st.text(), st.integers(1, 300))
def test_any_text_is_taken(query: str, length: int) -> None:
    """Whatever the text, there is one to show, in one line and not too long."""
    shown = safe_text(query, length)
    assert shown
    assert "\n" not in shown
    assert len(shown) <= max(length, len("REFRESH MATERIALIZED VIEW"))
