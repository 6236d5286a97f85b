"""The SQL that makes the exporter's role, with no more privileges than it needs.

It sets no parameter for the role: that would hide the server's own value from us.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.snapshot import Equipment, Grants, RoleGrants

OLDEST: Final = 13
NEWEST: Final = 18

# An exporter keeps a connection and a spare one, probes with a third, and may make a fourth before
# the server has noticed that one is lost. While a new exporter takes over, there are two.
LEAST_CONNECTIONS: Final = 4
CONNECTIONS: Final = 8

# For whoever comes back, and an exporter that takes over.
RESERVED: Final = 2
WITH_RESERVE: Final = 16
"""The version from which on slots can be kept free for roles that are no superusers."""

_MAX_NAME: Final = 63
_NO_NAMES: Final = ("", "public", "none")


@dataclass(frozen=True, slots=True)
class Wanted:
    """For whom the SQL is; `found` is what a server has already, where one was looked at."""

    role: str
    probe_role: str | None = None
    major: int = NEWEST
    rds: bool = False
    found: Grants | None = None


class Step(NamedTuple):
    """One thing that is needed: what for, its SQL, and whether it is there already."""

    why: str
    sql: str
    done: bool = False


def name_problem(name: str) -> str | None:
    """Tell why no role can have a name, or None.

    >>> name_problem("pg_exporter")
    'begins with pg_, which PostgreSQL keeps for itself'
    """
    if name in _NO_NAMES:
        return "is no name that a role can have"
    if name.startswith("pg_"):
        return "begins with pg_, which PostgreSQL keeps for itself"
    if not name.isprintable():
        return "has a character that cannot be printed"
    if len(name.encode()) > _MAX_NAME:
        return f"has more than {_MAX_NAME} bytes"
    return None


def render_grants(wanted: Wanted) -> str:
    """Give a script for psql, which may be run any number of times."""
    steps = tuple(_steps(wanted))
    parts = [_head(wanted, steps), *map(_render, steps), *_advice(wanted), _passwords(wanted)]
    return "\n\n".join(parts) + "\n"


def _head(wanted: Wanted, steps: tuple[Step, ...]) -> str:
    who, where = ("the master user", " on Amazon RDS") if wanted.rds else ("a superuser", "")
    lines = [
        f"For PostgreSQL {wanted.major}{where}: run this with psql as {who}, in the database",
        "that the exporter connects to. It may be run again.",
    ]
    if wanted.found is not None:
        lines += _look(wanted.found.equipment, steps)
    return _comment(*lines)


def _look(has: Equipment, steps: tuple[Step, ...]) -> Iterator[str]:
    """Tell what was seen; a name with a line break would end the comment that it stands in."""
    missing = sum(not step.done for step in steps)
    name = has.dbname if has.dbname.isprintable() else ascii(has.dbname)
    yield f"A look at database {name}: of {len(steps)} steps, {missing} are missing."
    reserved = "none before 16" if has.reserved is None else has.reserved
    yield (
        f"max_connections {has.max_connections}, of which superuser_reserved_connections"
        f" {has.superuser_reserved} and reserved_connections {reserved}."
    )


def _render(step: Step) -> str:
    if step.done:
        return _comment(f"Done: {step.why}")
    return f"{_comment(step.why)}\n{step.sql}"


def _comment(*lines: str) -> str:
    return "\n".join(f"-- {line}" for line in lines)


def _steps(wanted: Wanted) -> Iterator[Step]:
    found = wanted.found
    role = found.role if found else None
    yield from _role(wanted.role, role, found, CONNECTIONS)
    yield _monitor(wanted, role)
    yield from _statements(wanted)
    if wanted.major >= WITH_RESERVE:
        yield from _reserve(wanted, role)
    if wanted.probe_role is not None:
        probe_role = found.probe_role if found else None
        yield from _role(wanted.probe_role, probe_role, found, LEAST_CONNECTIONS)
        if probe_role is not None and probe_role.uses_reserve:
            yield _feels_exhaustion(wanted.probe_role)


def _role(
    name: str, has: RoleGrants | None, found: Grants | None, connections: int
) -> Iterator[Step]:
    """Make a role that may log in, but can never take all slots."""
    role = identifier(name)
    body = f"BEGIN\n    CREATE ROLE {role};\nEXCEPTION WHEN duplicate_object THEN\n    NULL;\nEND"
    quote = dollar_quote(body)
    yield Step(
        f"{role} may log in, and has the privileges of the roles that it is a member of.",
        f"DO {quote}\n{body}\n{quote};\nALTER ROLE {role} LOGIN INHERIT;",
        done=has is not None and has.may_login and has.inherits,
    )
    yield Step(
        f"{role} can take no more than a few slots, whatever goes wrong with it.",
        f"ALTER ROLE {role} CONNECTION LIMIT {connections};",
        done=has is not None and has.connection_limit >= LEAST_CONNECTIONS,
    )
    if found is not None and not (has.may_connect if has else found.equipment.open_to_all):
        dbname = identifier(found.equipment.dbname)
        yield Step(
            f"{role} may connect to this database, which is not open to everybody.",
            f"GRANT CONNECT ON DATABASE {dbname} TO {role};",
        )


def _monitor(wanted: Wanted, has: RoleGrants | None) -> Step:
    return Step(
        f"{identifier(wanted.role)} sees the sessions, statements and settings of all roles.",
        _grant("pg_monitor", wanted),
        done=has is not None and has.monitors,
    )


def _grant(privileges: str, wanted: Wanted) -> str:
    # From 16 on, it is the membership that inherits or does not, not the role.
    inherit = " WITH INHERIT TRUE" if wanted.major >= WITH_RESERVE else ""
    return f"GRANT {privileges} TO {identifier(wanted.role)}{inherit};"


def _statements(wanted: Wanted) -> Iterator[Step]:
    has = wanted.found.equipment if wanted.found else None
    how = "in the parameter group" if wanted.rds else "in postgresql.conf"
    yield Step(
        "The server counts statements, for which it needs a library from its start on.",
        _comment(f"Add pg_stat_statements to shared_preload_libraries {how}, and restart."),
        done=has is not None and has.preloaded,
    )
    yield Step(
        "What it counted can be read in this database, of all databases.",
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;",
        done=has is not None and has.created,
    )


def _reserve(wanted: Wanted, role: RoleGrants | None) -> Iterator[Step]:
    """Keep slots free for the exporter."""
    has = wanted.found.equipment if wanted.found else None
    setting = f"ALTER SYSTEM SET reserved_connections = {RESERVED}"
    yield Step(
        "A full server has slots left for those who look after it. This takes a restart.",
        _comment(f"Set reserved_connections to {RESERVED} in the parameter group, and reboot.")
        if wanted.rds
        else f"SELECT '{setting}'\n"
        f"WHERE current_setting('reserved_connections')::int < {RESERVED} \\gexec",
        done=has is not None and (has.reserved or 0) >= RESERVED,
    )
    yield Step(
        f"{identifier(wanted.role)} may take them, and so gets in when others do not.",
        _grant("pg_use_reserved_connections", wanted),
        done=role is not None and role.uses_reserve,
    )


def _feels_exhaustion(probe_role: str) -> Step:
    return Step(
        "The probe must feel what clients feel, so it may not take a slot that is kept free.",
        f"REVOKE pg_use_reserved_connections FROM {identifier(probe_role)};",
    )


def _advice(wanted: Wanted) -> Iterator[str]:
    """Say what is not done by SQL."""
    if wanted.major < WITH_RESERVE:
        yield _comment(
            f"Before PostgreSQL {WITH_RESERVE} no slot can be kept free for the exporter:"
            " `spare: true` in its",
            "configuration keeps a second connection instead.",
        )
    elif wanted.probe_role is None:
        yield _comment(
            "The probe shall feel what clients feel: give it a role of its own, without the",
            "reserve (--probe-role).",
        )


def _passwords(wanted: Wanted) -> str:
    names = [wanted.role, *([] if wanted.probe_role is None else [wanted.probe_role])]
    return _comment(
        "A password, unless pg_hba.conf asks for none. psql encrypts what you type:",
        *(f"\\password {identifier(name)}" for name in names),
    )


def identifier(name: str) -> str:
    """Quote a name for SQL.

    >>> print(identifier('the "odd" role'))
    "the ""odd"" role"
    """
    return '"' + name.replace('"', '""') + '"'


def dollar_quote(body: str) -> str:
    """Give a quote for a body that does not occur in it.

    >>> dollar_quote("SELECT 1"), dollar_quote("SELECT '$do$'")
    ('$do$', '$do_$')
    """
    tag = "do"
    while f"${tag}$" in body:
        tag += "_"
    return f"${tag}$"
