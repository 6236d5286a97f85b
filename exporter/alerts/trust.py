"""Can the picture be trusted: the exporter itself, and what it may see."""

from exporter.alerts.model import (
    BEHIND_PGBOUNCER,
    NO_INSTANCE,
    NO_SERVER,
    Dashboard,
    Group,
    Rule,
    Severity,
)
from exporter.alerts.servers import with_server

_NEWEST_ERROR = (
    "{{ with query (printf"
    ' "topk(1, increase(pgconn_poll_errors_total{job=%%q, instance=%%q, target=%%q, collector=%s}'
    '[5m]) > 0)" $labels.job $labels.instance $labels.target%s) }}'
    ' ({{ . | first | label "reason" }}){{ end }}'
)
_WHY_UNREACHABLE = _NEWEST_ERROR % ("'activity'", "")
_WHY_STALE = _NEWEST_ERROR % ("%q", " $labels.collector")

# Without pg_stat_statements the statement metrics are missing, and that is all right. Where it
# was there and is no more, the last success grows old. What a role may not read has an alert of
# its own.
_DATA_STALE = """\
(
  time() - pgconn_poll_last_success_timestamp_seconds
    > on (job, instance, target, collector)
      (pgconn_poll_interval_seconds * @{stale_intervals})
    > @{stale_after}
  or on (job, instance, target, collector)
  0 * (
    pgconn_poll_interval_seconds
    unless on (job, instance, target, collector) pgconn_poll_last_success_timestamp_seconds
    unless on (job, instance, target, collector)
      pgconn_poll_errors_total{reason=~"missing_extension|missing_preload"}
  )
)
and on (job, instance, target) pgconn_up == 1
unless on (job, instance, target) pgconn_privileges_limited == 1"""

# One scrape for all targets has the instance host:port, that of one target host:port/target.
_OF_EXPORTER = """\
max by (job, instance) (
  label_replace(
    %s,
    "instance", "$1", "exporter", "(.*)"
  )
) == 0"""
_SCRAPES = """\
%s by (job, exporter) (
      label_replace(up{job="@{job}"%s}, "exporter", "$1", "instance", "([^/]*).*")
    )"""
# Where each target is scraped alone, the exporter's own page is of no use without theirs.
_EXPORTER_DOWN = _OF_EXPORTER % "\n    or ".join(
    (_SCRAPES % ("max", ', instance=~".+/.*"'), _SCRAPES % ("max", ""))
)
_SCRAPE_FAILING = _OF_EXPORTER % _SCRAPES % ("min", "")

_WHICH_FAIL = (
    '{{ $before := ": " }}{{ range query (printf "up{job=%q} == 0" $labels.job)'
    ' | sortByLabel "instance" }}{{ $scrape := label "instance" . }}'
    '{{ if eq (reReplaceAll "/.*" "" $scrape) $labels.instance }}'
    '{{ $before }}{{ $scrape }}{{ $before = ", " }}{{ end }}{{ end }}'
)

TRUST = Group(
    "pgconn-exporter",
    (
        Rule(
            alert="PgconnExporterAbsent",
            severity=Severity.CRITICAL,
            expr='absent(up{job="@{job}"})',
            hold="5m",
            summary="No pgconn-exporter is scraped: job @{job} has no targets",
            description="Prometheus knows of no exporter to ask, so nobody watches the"
            " connections, and all other alerts of this job are blind. Where the targets come from"
            " the exporter's /sd, it may have been down when Prometheus was started.",
            first_action="Look for the job @{job} under Status > Targets and Status > Service"
            " discovery in Prometheus.",
            dashboard=Dashboard.EXPORTER,
            server=NO_SERVER,
            instance=NO_INSTANCE,
        ),
        Rule(
            alert="PgconnExporterDown",
            severity=Severity.CRITICAL,
            expr=_EXPORTER_DOWN,
            hold="2m",
            summary="pgconn-exporter {{ $labels.instance }} does not answer Prometheus",
            description="Scrapes of the exporter fail, so nobody watches the connections of its"
            " targets. The servers themselves may be well.",
            first_action="Run `curl http://{{ $labels.instance }}/-/healthy`, and look at the"
            " exporter's log.",
            dashboard=Dashboard.EXPORTER,
            server=NO_SERVER,
        ),
        Rule(
            alert="PgconnScrapeFailing",
            severity=Severity.WARNING,
            expr=_SCRAPE_FAILING,
            hold="5m",
            summary="Prometheus fails to scrape pgconn-exporter {{ $labels.instance }}"
            + _WHICH_FAIL,
            description="What is on these pages of the exporter is missing in Prometheus, so no"
            " other alert can fire for it. The servers themselves may be well.",
            first_action="Look at the job {{ $labels.job }} under Status > Targets in Prometheus:"
            " it tells the error of each scrape.",
            dashboard=Dashboard.EXPORTER,
            server=NO_SERVER,
        ),
        Rule(
            alert="PgconnTargetUnreachable",
            severity=Severity.CRITICAL,
            expr=with_server("pgconn_up == 0"),
            hold="1m",
            summary="{{ $labels.target }} cannot be reached by the exporter" + _WHY_UNREACHABLE,
            description="The exporter has no connection to the target on which a poll succeeds:"
            " the server is down, cannot be reached from there, or does not let the exporter in."
            " Nothing else is known of the target meanwhile.",
            first_action="Look for `poll failed` with target={{ $labels.target }} in the"
            " exporter's log, and connect to the server by hand with psql.",
            dashboard=Dashboard.INCIDENT,
            server=BEHIND_PGBOUNCER,
        ),
        Rule(
            alert="PgconnDataStale",
            severity=Severity.WARNING,
            expr=with_server(_DATA_STALE),
            hold="5m",
            summary="{{ $labels.target }}: the read {{ $labels.collector }}"
            "{{ if eq $value 0.0 }} has never succeeded"
            "{{ else }} last succeeded {{ $value | humanizeDuration }} ago{{ end }}" + _WHY_STALE,
            description="The target is up, but what this read feeds is missing: panels and"
            " alerts that need it are blind.",
            first_action="Look for `poll failed` with target={{ $labels.target }}"
            " read={{ $labels.collector }} in the exporter's log: it tells the"
            " reason, and the cure where that is known.",
            dashboard=Dashboard.EXPORTER,
            server=BEHIND_PGBOUNCER,
        ),
        Rule(
            alert="PgconnPrivilegesLimited",
            severity=Severity.WARNING,
            expr="pgconn_privileges_limited == 1",
            hold="10m",
            summary="{{ $labels.target }}: the exporter's role cannot see other roles' sessions",
            description="The role is no member of pg_monitor with its rights. Everything about"
            " connections, locks and queries is missing, and the alerts on them are blind.",
            first_action="As a superuser, run `GRANT pg_monitor TO` the exporter's role; the"
            " exporter's log has the whole statement.",
            dashboard=Dashboard.EXPORTER,
        ),
        Rule(
            alert="PgconnConfigReloadFailed",
            severity=Severity.WARNING,
            expr="pgconn_config_last_reload_successful == 0",
            hold="5m",
            summary="pgconn-exporter {{ $labels.instance }} runs with an old configuration",
            description="The configuration file was changed, and could not be loaded. What was"
            " in force before still is; the exporter could not be started with the new one.",
            first_action="Run `pgconn-exporter check-config` with the exporter's configuration"
            " file: it tells every error with its line.",
            dashboard=Dashboard.EXPORTER,
            server=NO_SERVER,
        ),
        Rule(
            alert="PgconnTcpTableUnusable",
            severity=Severity.INFO,
            expr="pgconn_tcp_table_usable == 0",
            hold="10m",
            summary="{{ $labels.target }}: the TCP table does not prove which clients are gone",
            description="The configuration has proc: true, but /proc/net/tcp cannot be read, or is"
            " that of another network namespace than the server's. Connections whose client is"
            " gone are then found by their age alone.",
            first_action="Run the exporter on the server's host and in its network namespace, or"
            " set proc: false for {{ $labels.target }}.",
            dashboard=Dashboard.EXPORTER,
        ),
        Rule(
            alert="PgconnSeriesFolded",
            severity=Severity.INFO,
            expr=with_server("sum by (job, instance, target) (pgconn_series_folded) > 0"),
            hold="10m",
            summary='{{ $labels.target }}: {{ $value | printf "%.0f" }} label sets were folded into'
            " other, or left out, by max_series",
            description="The metrics have more label sets than max_series allows. The smallest are"
            " counted together as other: sums stay true, but some clients are not named.",
            first_action="Ask Prometheus for pgconn_series_folded of {{ $labels.target }}, then"
            " raise max_series or drop some of connection_labels.",
            dashboard=Dashboard.EXPORTER,
            server=BEHIND_PGBOUNCER,
        ),
    ),
)
