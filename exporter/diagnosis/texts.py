"""Query texts that are safe to show: no literal and no comment leaves the server.

pg_stat_statements replaces the constants of a plannable statement by `$1`, but keeps comments,
and keeps the literals of every other statement, passwords included (ALTER ROLE, CREATE
SUBSCRIPTION, DO, ...). It also keeps the whole text of a statement whose entry was thrown out
while it ran. So nothing is trusted: we look at each text ourselves.
"""

import re
from itertools import islice
from typing import Final

PLANNABLE: Final = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE", "WITH"}
)

# The words that may follow the first one of any other statement. Whatever is not in here may be
# a name or a value that somebody chose, and is not shown.
_COMMANDS: Final = frozenset(
    """ABORT ALTER ANALYZE BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE
    DECLARE DISCARD DO DROP END EXECUTE EXPLAIN FETCH GRANT IMPORT LISTEN LOAD LOCK MOVE NOTIFY
    PREPARE REASSIGN REFRESH REINDEX RELEASE RESET REVOKE ROLLBACK SAVEPOINT SECURITY SET SHOW
    START TRUNCATE UNLISTEN VACUUM""".split()  # noqa: SIM905 - a list of words reads better
)
_OBJECTS: Final = frozenset(
    """ACCESS AGGREGATE CAST COLLATION CONVERSION DATABASE DEFAULT DOMAIN EVENT EXTENSION FOREIGN
    FUNCTION GROUP INDEX LABEL LANGUAGE LARGE MATERIALIZED OPERATOR OWNED POLICY PREPARED PROCEDURE
    PUBLICATION ROLE ROUTINE RULE SCHEMA SEQUENCE SERVER STATISTICS SUBSCRIPTION SYSTEM TABLE
    TABLESPACE TEXT TRANSACTION TRIGGER TYPE USER VIEW""".split()  # noqa: SIM905
)
_SECOND_OF_TWO: Final = {"MATERIALIZED": "VIEW", "USER": "MAPPING", "FOREIGN": "TABLE"}
_FILLERS: Final = frozenset(
    {"OR", "REPLACE", "TEMP", "TEMPORARY", "UNLOGGED", "UNIQUE", "GLOBAL", "LOCAL", "RECURSIVE"}
    | {"TRUSTED", "CONSTRAINT"}
)

# Boundaries are where PostgreSQL's own lexer sees them, or the inside of a literal would be shown:
# every character beyond ASCII is a letter, be it a space; a carriage return ends a comment, too.
_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<line_comment>--[^\r\n]*)
  | (?P<block_comment>/\*)
  | (?P<identifier>(?:[uU]&)?"(?:[^"]++|"")*+(?:"|\Z))
  | (?P<string>(?:[eEbBxXnN]|[uU]&)?')
  | (?P<dollar>\$(?P<tag>[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$)
  | (?P<parameter>\$\d+)
  | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
  | (?P<number>\.?\d[\w.\x80-\U0010ffff]*(?:(?<=[eE])[+-]\d+)?)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_STRING_REST: Final = re.compile(r"(?:[^']++|'')*+'")
_ESCAPE_STRING_REST: Final = re.compile(r"(?:[^'\\]++|''|\\.)*+'", re.DOTALL)
_BLOCK_EDGE: Final = re.compile(r"/\*|\*/")
_MASK: Final = "?"


class _UnsafeError(Exception):
    """The text has a literal whose end depends on a setting of its session, or on the version."""


def safe_text(query: str, length: int) -> str:
    """Give the text of a statement without literals and comments, cut at a length.

    >>> safe_text("SELECT  $1, 'x' /* y */ FROM t", 200)
    'SELECT $1, ? FROM t'
    >>> safe_text("ALTER ROLE app PASSWORD 'hunter2'", 200)
    'ALTER ROLE'
    """
    try:
        words = _masked(query, length)
    except _UnsafeError:
        words = ""
    first = re.match(r"[\s(]*(\w+)", words)
    if first is None or first[1].upper() not in PLANNABLE:
        return _command(query)
    return words if len(words) <= length else words[: length - 1] + "…"


def _masked(query: str, length: int) -> str:
    """Mask literals, drop comments, and join runs of white space, up to where it is cut anyway."""
    parts: list[str] = []
    position = shown = 0
    while position < len(query) and shown <= length:
        token = _TOKEN.match(query, position)
        assert token is not None  # noqa: S101 - the last alternative takes anything
        position, text = _next(query, token)
        parts.append(text)
        shown += len("".join(text.split()))
    return " ".join("".join(parts).split())


def _next(query: str, token: re.Match[str]) -> tuple[int, str]:
    """Give where the next token starts, and what is shown of this one."""
    kind = token.lastgroup if token.lastgroup != "tag" else "dollar"
    match kind:
        case "space" | "line_comment":
            return token.end(), " "
        case "block_comment":
            return _end_of_comment(query, token.end()), " "
        case "string":
            return _end_of_string(query, token), _MASK
        case "dollar":
            end = query.find(token[0], token.end())
            return (len(query) if end < 0 else end + len(token[0])), _MASK
        case "number":
            if query.startswith("$", token.end()):
                # From 15 or 16 on a dollar-quoted literal follows, before that a name, as in 1e$$.
                raise _UnsafeError
            return token.end(), _MASK
    return token.end(), str(token[0])


def _end_of_comment(query: str, position: int) -> int:
    """Find the end of a block comment, which may hold others."""
    depth = 1
    while depth:
        edge = _BLOCK_EDGE.search(query, position)
        if edge is None:
            return len(query)
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position


def _end_of_string(query: str, token: re.Match[str]) -> int:
    """Find the end of a quoted literal."""
    escapes = token[0][0] in "eE"
    match = (_ESCAPE_STRING_REST if escapes else _STRING_REST).match(query, token.end())
    if match is None:
        return len(query)
    if not escapes and "\\" in match[0]:
        # With standard_conforming_strings off, the literal would end elsewhere.
        raise _UnsafeError
    return match.end()


OTHER_COMMAND: Final = "other"


def _command(query: str) -> str:
    """Give the command words of a statement alone."""
    found = islice(re.finditer(r"\w+", _without_comments(query)), 8)
    words = [word[0].upper() for word in found]
    if not words or words[0] not in _COMMANDS | PLANNABLE:
        return OTHER_COMMAND
    follow = [word for word in words[1:] if word not in _FILLERS]
    if words[0] in {"CREATE", "ALTER", "DROP", "COMMIT", "ROLLBACK", "REFRESH", "SECURITY"}:
        return " ".join([words[0], *_object(follow)])
    return words[0]


def _object(words: list[str]) -> list[str]:
    """Give the words of a kind of object, such as USER MAPPING."""
    if not words or words[0] not in _OBJECTS:
        return []
    second = _SECOND_OF_TWO.get(words[0])
    return words[:2] if second is not None and words[1:2] == [second] else words[:1]


def _without_comments(query: str) -> str:
    """Drop the comments that stand before the first word."""
    position = 0
    while token := _TOKEN.match(query, position):
        if token.lastgroup not in {"space", "line_comment", "block_comment"}:
            break
        position, _ = _next(query, token)
    return query[position:]
