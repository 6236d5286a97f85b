"""What a server has of all that the exporter's role needs there."""

from dataclasses import dataclass
from typing import NamedTuple


class Equipment(NamedTuple):
    """What a server has, and the database that we are connected to.

    Everybody may connect to it where it is `open_to_all`. `reserved` is None where the version has
    no such setting; `preloaded` and `created` are about pg_stat_statements; `rds` tells that it is
    a server of Amazon RDS.
    """

    dbname: str
    open_to_all: bool
    max_connections: int
    superuser_reserved: int
    reserved: int | None
    preloaded: bool
    created: bool
    rds: bool


class RoleGrants(NamedTuple):
    """What a role may do: pg_roles, and the roles whose privileges it has.

    `connection_limit` is -1 where there is none.
    """

    may_login: bool
    inherits: bool
    connection_limit: int
    monitors: bool
    uses_reserve: bool
    may_connect: bool


@dataclass(frozen=True, slots=True)
class Grants:
    """A server's major version and what it has; a role that it does not have is None."""

    major: int
    equipment: Equipment
    role: RoleGrants | None
    probe_role: RoleGrants | None
