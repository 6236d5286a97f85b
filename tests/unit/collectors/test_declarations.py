"""Every metric that is declared: its name, its help, and the contract that others depend on."""

import re
from collections import Counter

from exporter import process
from exporter.collectors import METRICS
from exporter.collectors.base import OPEN_LABELS
from exporter.collectors.polling import ERRORS
from exporter.daemon import OWN_METRICS
from exporter.exposition import SERIES_FOLDED, UP, Fold, Kind
from exporter.server.errors import REASONS

OF_TARGETS = (UP, SERIES_FOLDED, *METRICS)
DECLARED = (*OF_TARGETS, *OWN_METRICS, process.BUILD_INFO)

IDENTITY = "client client_addr usename application_name datname state"
WAITER = "client usename application_name datname"
STATEMENT = "datname usename queryid"
ORPHAN = "client client_addr usename application_name datname reason"
POOL = "database user"

# Dashboards, alerts and runbooks depend on these. A name, a label or a kind that changes here is
# a breaking change: say so in the changelog.
CONTRACT = {
    # Can the picture be trusted
    "pgconn_up": ("gauge", ""),
    "pgconn_server_info": ("gauge", "version in_recovery"),
    "pgconn_postmaster_start_time_seconds": ("gauge", ""),
    "pgconn_poll_errors_total": ("counter", "collector reason"),
    "pgconn_poll_duration_seconds": ("summary", "collector"),
    "pgconn_poll_last_success_timestamp_seconds": ("gauge", "collector"),
    "pgconn_poll_interval_seconds": ("gauge", "collector"),
    "pgconn_privileges_limited": ("gauge", ""),
    "pgconn_series_folded": ("gauge", "metric"),
    # Can clients still connect
    "pgconn_probe_success": ("gauge", ""),
    "pgconn_probe_failing_since_timestamp_seconds": ("gauge", ""),
    "pgconn_probe_duration_seconds": ("histogram", ""),
    "pgconn_probe_failures_total": ("counter", "sqlstate"),
    "pgconn_slots_max": ("gauge", ""),
    "pgconn_slots_reserved": ("gauge", "role"),
    "pgconn_slots_usable": ("gauge", ""),
    "pgconn_slots_used": ("gauge", ""),
    "pgconn_slots_used_peak": ("gauge", ""),
    "pgconn_database_connections": ("gauge", "datname"),
    "pgconn_database_connection_limit": ("gauge", "datname"),
    "pgconn_role_connections": ("gauge", "usename"),
    "pgconn_role_connection_limit": ("gauge", "usename"),
    # Who holds the connections
    "pgconn_connections": ("gauge", IDENTITY),
    "pgconn_connection_state_age_max_seconds": ("gauge", IDENTITY),
    "pgconn_connections_peak": ("gauge", "client"),
    "pgconn_connection_age_max_seconds": ("gauge", "client usename datname"),
    "pgconn_idle_age_seconds": ("gaugehistogram", "client"),
    "pgconn_connections_opened_total": ("counter", "client"),
    "pgconn_connections_closed_total": ("counter", "client"),
    "pgconn_client_connections": ("gauge", "client"),
    "pgconn_client_busy_connections": ("gauge", "client"),
    "pgconn_client_pool_size": ("gauge", "client"),
    "pgconn_transaction_age_max_seconds": ("gauge", f"{WAITER} state"),
    "pgconn_session_seconds_total": ("counter", "client state wait_event_type wait_event"),
    # Are they orphaned
    "pgconn_orphaned_connections": ("gauge", ORPHAN),
    "pgconn_orphaned_connection_age_max_seconds": ("gauge", ORPHAN),
    "pgconn_tcp_table_usable": ("gauge", ""),
    # Who blocks whom
    "pgconn_blocked_connections": ("gauge", WAITER),
    "pgconn_lock_wait_max_seconds": ("gauge", WAITER),
    "pgconn_root_blockers": ("gauge", IDENTITY),
    "pgconn_root_blocker_victims": ("gauge", IDENTITY),
    "pgconn_root_blocker_age_max_seconds": ("gauge", IDENTITY),
    "pgconn_blocking_depth_max": ("gauge", ""),
    # Which query is slow
    "pgconn_query_age_max_seconds": ("gauge", f"{WAITER} blocked"),
    "pgconn_slow_queries": ("gauge", f"{WAITER} blocked"),
    "pgconn_statement_mean_seconds": ("gauge", STATEMENT),
    "pgconn_statement_recent_mean_seconds": ("gauge", STATEMENT),
    "pgconn_statement_calls_total": ("counter", STATEMENT),
    "pgconn_statement_seconds_total": ("counter", STATEMENT),
    "pgconn_statement_rows_total": ("counter", STATEMENT),
    "pgconn_statement_info": ("gauge", f"{STATEMENT} query"),
    "pgconn_statements_reset_timestamp_seconds": ("gauge", ""),
    "pgconn_statements_evicted_total": ("counter", ""),
    # Which timeout is wrong
    "pgconn_timeout_seconds": ("gauge", "setting datname usename"),
    "pgconn_dead_client_detection_seconds": ("gauge", "session"),
    "pgconn_timeout_mismatch": ("gauge", "client rule"),
    "pgconn_client_timeout_seconds": ("gauge", "client setting"),
    # How sessions ended
    "pgconn_database_sessions_total": ("counter", "datname"),
    "pgconn_database_sessions_ended_total": ("counter", "datname reason"),
    "pgconn_database_session_seconds_total": ("counter", "datname state"),
    "pgconn_database_deadlocks_total": ("counter", "datname"),
    # Replication
    "pgconn_replication_slot_active": ("gauge", "slot_name slot_type"),
    "pgconn_replication_slot_retained_bytes": ("gauge", "slot_name slot_type"),
    "pgconn_wal_senders_used": ("gauge", ""),
    "pgconn_wal_senders_max": ("gauge", ""),
    # PgBouncer
    "pgconn_pgbouncer_info": ("gauge", "version server"),
    "pgconn_pgbouncer_pool_clients": ("gauge", f"{POOL} state"),
    "pgconn_pgbouncer_pool_servers": ("gauge", f"{POOL} state"),
    "pgconn_pgbouncer_pool_max_wait_seconds": ("gauge", POOL),
    "pgconn_pgbouncer_pool_size": ("gauge", POOL),
    "pgconn_pgbouncer_pool_reserve_size": ("gauge", POOL),
    "pgconn_pgbouncer_database_connections": ("gauge", "database"),
    "pgconn_pgbouncer_database_connection_limit": ("gauge", "database"),
    "pgconn_pgbouncer_database_paused": ("gauge", "database"),
    "pgconn_pgbouncer_client_connections": (
        "gauge",
        f"{POOL} client_addr application_name state",
    ),
    "pgconn_pgbouncer_clients_max": ("gauge", ""),
    "pgconn_pgbouncer_clients_used": ("gauge", ""),
    "pgconn_pgbouncer_timeout_seconds": ("gauge", "setting"),
    "pgconn_pgbouncer_queries_total": ("counter", "database"),
    "pgconn_pgbouncer_transactions_total": ("counter", "database"),
    "pgconn_pgbouncer_query_seconds_total": ("counter", "database"),
    "pgconn_pgbouncer_transaction_seconds_total": ("counter", "database"),
    "pgconn_pgbouncer_wait_seconds_total": ("counter", "database"),
    "pgconn_pgbouncer_received_bytes_total": ("counter", "database"),
    "pgconn_pgbouncer_sent_bytes_total": ("counter", "database"),
    # The exporter itself, without a target
    "pgconn_config_last_reload_successful": ("gauge", ""),
    "pgconn_config_last_reload_success_timestamp_seconds": ("gauge", ""),
    "pgconn_build_info": ("gauge", "version"),
}

# Words that a name may not have instead of its unit, or beside the base unit.
OTHER_UNITS = {"ms", "milliseconds", "minutes", "hours", "kb", "kilobytes", "mb", "percent"}

# Gauges that no poll of a server gives.
NOT_POLLED = {
    "pgconn_client_timeout_seconds",
    "pgconn_client_pool_size",  # is in the configuration
    "pgconn_config_last_reload_successful",
    "pgconn_config_last_reload_success_timestamp_seconds",
    "pgconn_build_info",
    "pgconn_probe_success",  # says "as of the last probe"
    "pgconn_probe_failing_since_timestamp_seconds",
}

# Labels with few values, which no client chooses: the series limit leaves them alone.
CLOSED_LABELS = {
    "blocked",
    "client",
    "collector",
    "in_recovery",
    "metric",
    "reason",
    "role",
    "rule",
    "server",
    "session",
    "setting",
    "slot_name",  # as many as max_replication_slots
    "slot_type",
    "sqlstate",
    "state",
    "version",
    "wait_event",
    "wait_event_type",
}


def test_contract() -> None:
    """Every metric has the name, the kind and the labels that others depend on, and no other."""
    found = {metric.name: (metric.kind.value, " ".join(metric.labels)) for metric in DECLARED}
    assert found == CONTRACT


def test_each_is_declared_once() -> None:
    """No name stands twice, nor hides in the suffixes of another."""
    suffixes = {
        Kind.HISTOGRAM: ("", "_bucket", "_count", "_sum"),
        Kind.SUMMARY: ("", "_count", "_sum"),
        Kind.GAUGE_HISTOGRAM: ("", "_bucket", "_gcount", "_gsum"),
    }
    names = Counter(m.name + suffix for m in DECLARED for suffix in suffixes.get(m.kind, ("",)))
    assert [name for name, count in names.items() if count > 1] == []


def test_names() -> None:
    """A name has our prefix, is in lower case, and ends in _total if and only if it counts."""
    for metric in DECLARED:
        assert re.fullmatch(r"pgconn_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert not OTHER_UNITS.intersection(metric.name.split("_")), metric.name


def test_units() -> None:
    """A time is in seconds and says so last, before _total; a moment is a timestamp."""
    for metric in DECLARED:
        stem = metric.name.removesuffix("_total")
        if re.search(r"_(age|duration|interval|mean|seconds|start_time|wait_max)", stem):
            assert stem.endswith("_seconds"), metric.name
        if "timestamp" in stem:
            assert stem.endswith("_timestamp_seconds"), metric.name
        if "since the epoch" in metric.help:
            assert re.search(r"_(timestamp|start_time)_seconds$", stem), metric.name


def test_help() -> None:
    """The help is a sentence; that of a gauge says that it is as old as the last poll."""
    for metric in DECLARED:
        assert re.fullmatch(r"\S(?!.*  ).*\S\.", metric.help), metric.name
        if metric.kind in {Kind.GAUGE, Kind.GAUGE_HISTOGRAM} and metric.name not in NOT_POLLED:
            assert "poll" in metric.help, metric.name


def test_labels() -> None:
    """Labels are known ones, none is a pid, and `target` is not among them: all have it."""
    for metric in DECLARED:
        assert len(set(metric.labels)) == len(metric.labels), metric.name
        assert set(metric.labels) <= CLOSED_LABELS | OPEN_LABELS, metric.name
        assert ("query" in metric.labels) == (metric.name == "pgconn_statement_info")


def test_folding() -> None:
    """The labels that clients choose may be folded; an age is folded into the highest."""
    for metric in DECLARED:
        assert metric.open_labels == OPEN_LABELS.intersection(metric.labels), metric.name
        if "_max_" in metric.name and metric.open_labels:
            assert metric.fold is Fold.MAX, metric.name
        elif "queryid" in metric.labels or metric.name == "pgconn_timeout_seconds":
            assert metric.fold is Fold.DROP, metric.name  # the sum of means is no mean
        elif metric.open_labels:
            assert metric.fold is Fold.SUM, metric.name


def test_reasons() -> None:
    """Why a poll fails is a closed set, which alerts can list."""
    assert ERRORS.labels == ("collector", "reason")
    assert set(REASONS) == {
        "refused",
        "too_many_connections",
        "authentication",
        "timeout",
        "privilege",
        "missing_extension",
        "missing_preload",
        "overridden",
        "connection_lost",
        "query",
    }
    assert all(cls.reason == reason for reason, cls in REASONS.items())
