"""The thresholds of all alerts: what is too much, in one table that the dashboards share.

A panel is red exactly when its alert fires.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from exporter.alerts.errors import AlertError
from exporter.alerts.units import Unit, parse_number, words

RATIO, SECONDS, COUNT = Unit.RATIO, Unit.SECONDS, Unit.COUNT


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that somebody may want to be another."""

    name: str
    default: float
    unit: Unit
    meaning: str


THRESHOLDS: Final = (
    # Can the picture be trusted
    Threshold("stale_after", 300, SECONDS, "Least age of a read's last success to be stale."),
    Threshold("stale_intervals", 5, COUNT, "Intervals of a read without success to be stale."),
    # Can clients still connect
    Threshold("slots_critical", 0.9, RATIO, "Share of the usable slots in use: critical."),
    Threshold("slots_high", 0.8, RATIO, "Share of the usable slots in use: high."),
    Threshold("forecast_within", 3600, SECONDS, "How far ahead full slots are foreseen."),
    Threshold("forecast_soon", 900, SECONDS, "The same, where they fill up fast."),
    Threshold("forecast_from", 0.5, RATIO, "Share of the slots in use below which none is."),
    Threshold("peak_high", 0.9, RATIO, "Share of the slots in use at the peak."),
    Threshold("peak_average", 0.8, RATIO, "Share on average, below which peaks are bursts."),
    Threshold("limit_near", 0.9, RATIO, "Share of the CONNECTION LIMIT of a role or database."),
    Threshold("wal_senders_high", 0.9, RATIO, "Share of max_wal_senders in use."),
    # Who holds the connections
    Threshold("pool_saturated", 0.95, RATIO, "Share of a client's pool that is busy."),
    Threshold("pool_saturated_from", 3, COUNT, "Pool size below which a busy pool is normal."),
    Threshold("client_share", 0.5, RATIO, "Share of the usable slots that one client holds."),
    Threshold("client_share_from", 0.7, RATIO, "Share in use below which that is nobody's harm."),
    Threshold("churn", 20, Unit.PER_SECOND, "Connections that a client opens."),
    # Are they orphaned
    Threshold("orphans_share", 0.2, RATIO, "Share of the usable slots that orphans hold."),
    Threshold("orphans_share_from", 0.8, RATIO, "Share in use below which that can wait."),
    Threshold("orphans_many", 5, COUNT, "Orphans of a client for one reason."),
    Threshold("outlived_share", 0.1, RATIO, "Share of a client's pool whose queries outlived it."),
    Threshold("idle_in_transaction", 300, SECONDS, "Time that a session is idle in transaction."),
    Threshold("abandoned", 0.2, Unit.PER_SECOND, "Sessions of a database whose client vanished."),
    # Who blocks whom
    Threshold("root_blocker_victims", 3, COUNT, "Victims of a root blocker that does nothing."),
    Threshold("blocked_many", 5, COUNT, "Sessions that wait for a lock."),
    Threshold("lock_wait", 60, SECONDS, "Longest wait for a lock."),
    Threshold("transaction_age", 3600, SECONDS, "Age of a transaction."),
    Threshold("deadlocks", 5, COUNT, "Deadlocks of a database within 15 minutes."),
    # Which query is slow
    Threshold("slow_query", 30, SECONDS, "Age of a query that nobody blocks."),
    Threshold("statement_factor", 3, Unit.FACTOR, "A statement's mean against a day before."),
    Threshold("statement_mean", 0.5, SECONDS, "Mean below which no statement is slow."),
    Threshold("load_factor", 3, Unit.FACTOR, "Average active sessions against their week's."),
    Threshold("load_least", 4, COUNT, "Average active sessions below which there is no load."),
    # PgBouncer
    Threshold("pgbouncer_wait", 5, SECONDS, "Longest wait for a server connection."),
    Threshold("pgbouncer_pool_high", 0.8, RATIO, "Share of a pool's size in use."),
    Threshold("pgbouncer_clients_high", 0.9, RATIO, "Share of max_client_conn in use."),
    # Replication
    Threshold("slot_retained", 2**30, Unit.BYTES, "WAL kept for a consumer that is not there."),
)

UNITS: Final[Mapping[str, Unit]] = {each.name: each.unit for each in THRESHOLDS}

Values = Mapping[str, float]
"""A number for each threshold, by name."""

DEFAULTS: Final[Values] = {each.name: each.default for each in THRESHOLDS}

LOW_AND_HIGH: Final = (
    ("slots_high", "slots_critical"),
    ("client_share_from", "slots_critical"),
    ("peak_average", "peak_high"),
)
"""Thresholds that make no sense the other way round."""


def tuned(settings: Iterable[str]) -> Values:
    """Give the defaults with changes such as `slots_high=75%`; AlertError where one cannot be.

    >>> tuned(["lock_wait=2m"])["lock_wait"]
    120.0
    """
    values: dict[str, float] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise AlertError(f"{setting!r} is not NAME=VALUE, such as slots_high=75%")
        if name not in UNITS:
            raise AlertError(f"there is no {name!r}; {_meant(name)}")
        if name in values:
            raise AlertError(f"{name} is given twice")
        try:
            values[name] = parse_number(text, UNITS[name])
        except ValueError as error:
            raise AlertError(f"{name}: {error}") from None
    return _in_order({**DEFAULTS, **values})


def _meant(name: str) -> str:
    nearest = get_close_matches(name, UNITS, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"there are: {', '.join(UNITS)}"


def _in_order(values: Values) -> Values:
    for low, high in LOW_AND_HIGH:
        if values[low] >= values[high]:
            raise AlertError(f"{low} has to be below {high}, which is {_words(values, high)}")
    return values


def _words(values: Values, name: str) -> str:
    return words(values[name], UNITS[name])
