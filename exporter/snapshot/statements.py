"""The statements read: the entries of pg_stat_statements."""

from dataclasses import dataclass, field
from typing import NamedTuple


class StatementRow(NamedTuple):
    """One entry of pg_stat_statements; `stats_since` exists from extension version 1.11 on."""

    userid: int
    dbid: int
    queryid: int
    toplevel: bool
    datname: str | None
    usename: str | None
    calls: int
    seconds: float
    rows: int
    stats_since: float | None


class StatementsInfo(NamedTuple):
    """pg_stat_statements_info (extension 1.9 on): evictions and the last reset."""

    evictions: int
    reset_at: float


@dataclass(frozen=True, slots=True)
class Statements:
    """Every entry of pg_stat_statements, and the texts of the statements that were asked for."""

    now: float
    rows: tuple[StatementRow, ...]
    info: StatementsInfo | None
    texts: dict[int, str] = field(default_factory=dict)
