"""Alerts that fire together: who is told of which, and which of them others silence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Alert = Mapping[str, str]


def alert(name: str, severity: str = "critical", **labels: str) -> Alert:
    """Give an alert about the server orders, as the exporter at a:9187 sees it."""
    own = {"instance": "a:9187", "target": "orders", "server": "orders"}
    return {"alertname": name, "severity": severity, **own, **labels}


def own(name: str, severity: str = "critical", **labels: str) -> Alert:
    """Give an alert about an exporter, which is about no server."""
    return {"alertname": name, "severity": severity, **labels}


def both(name: str, severity: str = "critical", **labels: str) -> list[Alert]:
    """Give an alert as two exporters see it that watch the same server."""
    return [alert(name, severity, instance=each, **labels) for each in ("a:9187", "b:9187")]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Alerts that fire together, in a job of their own; labels may say which other job."""

    what: str
    heard: Sequence[Alert]
    silent: Sequence[Alert] = ()


BILLING: Final = {"target": "billing", "server": "billing"}
PGBOUNCER: Final = {"target": "pgbouncer", "server": "orders"}

# Causes with the symptoms that they silence, of the same server, target and client.
GRAPH: Final = {
    "PostgresConnectionsRefused": "PgconnTargetUnreachable PostgresClientHogsSlots"
    " PostgresSlotsCritical PostgresProbeFailing",
    "PostgresClientHogsSlots": "PostgresSlotsCritical",
    "PostgresOrphansExhaustSlots": "PostgresSlotsCritical PostgresClientHogsSlots",
    "PostgresRootBlockerIdle": "PostgresSessionsBlocked PostgresLockWaitLong PostgresSlowCulprits"
    " PostgresClientPoolSaturated PgBouncerPoolSaturated PostgresQueriesOutliveClient"
    " PostgresSlotsCritical PostgresClientHogsSlots",
    "PostgresQueriesOutliveClient": "PostgresClientPoolSaturated PgBouncerPoolSaturated",
    "PgconnTargetUnreachable": "PostgresRootBlockerIdle PostgresOrphansExhaustSlots"
    " PostgresSlotsCritical PostgresProbeFailing PgBouncerClientSlotsHigh",
}
ALSO_TICKETS: Final = {"PostgresClientHogsSlots", "PostgresQueriesOutliveClient"}


def of_the_graph() -> Iterator[Scenario]:
    """Give what each cause silences, and that it does so there only."""
    api = {"client": "api"}
    for cause, names in GRAPH.items():
        symptoms = names.split()
        # All critical, so that it is this cause which silences them; each on a server of its own
        # where none is to be silent.
        by_server = {name: {"target": name, "server": name, **api} for name in symptoms}
        apart = [alert(name, **by_server[name]) for name in symptoms]
        yield Scenario(
            f"{cause} silences its symptoms",
            [alert(cause, **api)],
            [alert(name, **api) for name in symptoms],
        )
        yield Scenario(f"{cause} silences no other server's alerts", [alert(cause, **api), *apart])
        yield Scenario(
            f"{cause} silences no other job's alerts",
            [*apart, *({**alert(cause, **by_server[name]), "job": "other"} for name in symptoms)],
        )
        if cause in ALSO_TICKETS:
            yield Scenario(
                f"{cause} as a ticket silences no page",
                apart,
                [alert(cause, "warning", **by_server[name]) for name in symptoms],
            )


SCENARIOS: Final = [
    *of_the_graph(),
    Scenario(
        "one chain is one page",
        [alert("PostgresRootBlockerIdle", client="migration")],
        [
            alert("PostgresQueriesOutliveClient", client="api"),
            alert("PostgresClientPoolSaturated", client="api"),
            alert("PgBouncerPoolSaturated", database="orders", user="api", **PGBOUNCER),
            alert("PostgresClientHogsSlots", client="api"),
            alert("PostgresClientHogsSlots", "warning", client="api"),
            alert("PostgresSlotsCritical"),
            alert("PostgresSessionsBlocked", "warning"),
        ],
    ),
    Scenario(
        "another client has reasons of its own",
        [
            alert("PostgresQueriesOutliveClient", client="api"),
            alert("PostgresClientPoolSaturated", client="celery"),
        ],
        [alert("PostgresClientPoolSaturated", client="api")],
    ),
    Scenario(
        "nobody's queries silence no pool without a client",
        [alert("PostgresQueriesOutliveClient"), alert("PostgresClientPoolSaturated")],
    ),
    Scenario(
        "an exporter that is down silences all of its own, and nobody else's",
        [
            own("PgconnExporterDown", instance="a:9187"),
            own("PgconnConfigReloadFailed", "warning", instance="b:9187"),
            own("PgconnScrapeFailing", "warning", instance="b:9187"),
            alert("PgconnTargetUnreachable", instance="b:9187"),
            alert("PostgresSlotsHigh", "warning", instance="b:9187", target="c", server="c"),
        ],
        [
            own("PgconnConfigReloadFailed", "warning", instance="a:9187"),
            own("PgconnScrapeFailing", "warning", instance="a:9187"),
            alert("PgconnTargetUnreachable"),
            alert("PostgresConnectionsRefused"),
            alert("PostgresConnectionsRefused", **BILLING),
            alert("PostgresSlotsHigh", "warning", target="stock", server="stock"),
            alert("PgconnTcpTableUnusable", "info"),
        ],
    ),
    Scenario(
        "two exporters that are down are one page",
        [own("PgconnExporterDown", instance=each) for each in ("a:9187", "b:9187")],
    ),
    Scenario(
        "no exporter at all silences all of the job, and of no other",
        [
            own("PgconnExporterAbsent"),
            {**own("PgconnExporterDown", instance="a:9187"), "job": "other"},
            {**alert("PostgresSlotsCritical", instance="b:9187"), "job": "other"},
        ],
        [
            own("PgconnExporterDown", instance="a:9187"),
            own("PgconnConfigReloadFailed", "warning", instance="a:9187"),
            alert("PostgresConnectionsRefused"),
            alert("PostgresSlotsHigh", "warning", **BILLING),
        ],
    ),
    Scenario(
        "a target that cannot be reached silences all of the target, and no other",
        [alert("PgconnTargetUnreachable"), alert("PostgresSlotsCritical", **BILLING)],
        [
            alert("PostgresSlotsCritical"),
            alert("PgconnDataStale", "warning", collector="activity"),
            alert("PostgresRestarted", "info"),
        ],
    ),
    Scenario(
        "a target that refuses is no target that cannot be reached",
        [alert("PostgresConnectionsRefused", client="nightly")],
        [
            alert("PgconnTargetUnreachable"),
            alert("PostgresClientHogsSlots", client="nightly"),
            alert("PostgresSlotsHigh", "warning"),
        ],
    ),
    Scenario(
        "a PgBouncer that cannot be reached silences no tickets of the server behind it",
        [
            alert("PgconnTargetUnreachable", **PGBOUNCER),
            alert("PostgresLockWaitLong", "warning"),
        ],
        [alert("PgBouncerPoolHigh", "warning", database="orders", **PGBOUNCER)],
    ),
    Scenario(
        "a PgBouncer that cannot be reached and its server are one page",
        [alert("PgconnTargetUnreachable", **PGBOUNCER), alert("PostgresSlotsCritical")],
        [alert("PgBouncerPoolSaturated", database="orders", **PGBOUNCER)],
    ),
    Scenario(
        "a server that refuses says nothing about the way to its PgBouncer",
        [alert("PostgresConnectionsRefused"), alert("PgconnTargetUnreachable", **PGBOUNCER)],
    ),
    Scenario(
        "PgBouncer and its server are one page",
        [
            alert("PgBouncerPoolSaturated", database="orders", user="api", **PGBOUNCER),
            alert("PostgresSlotsCritical"),
        ],
    ),
    Scenario(
        "two exporters are one page, of the cause",
        both("PostgresRootBlockerIdle", client="migration"),
        [*both("PostgresSlotsCritical"), *both("PostgresLockWaitLong", "warning")],
    ),
    Scenario(
        "whom one exporter cannot reach, the other one may speak of",
        [
            alert("PgconnTargetUnreachable"),
            alert("PostgresRootBlockerIdle", instance="b:9187"),
        ],
        [
            alert("PostgresProbeFailing"),
            *both("PostgresLockWaitLong", "warning"),
        ],
    ),
    Scenario(
        "critical silences warning and info of the same server",
        [
            alert("PgBouncerClientSlotsHigh", **PGBOUNCER),
            alert("PostgresSlotsHigh", "warning", **BILLING),
        ],
        [alert("PostgresIdleInTransaction", "warning"), alert("PostgresTimeoutMismatch", "info")],
    ),
    Scenario(
        "tickets of one server are one",
        [alert("PostgresIdleInTransaction", "warning"), alert("PostgresSlotsHigh", "warning")],
    ),
    Scenario("an info is told to nobody", [alert("PostgresRestarted", "info")]),
]


def job_of(scenario: Scenario) -> str:
    """Name the job that a scenario's alerts have."""
    return f"scenario-{SCENARIOS.index(scenario)}"


def placed(scenario: Scenario, alerts: Iterable[Alert]) -> list[Alert]:
    """Put alerts into the jobs of a scenario."""
    job = job_of(scenario)
    return [
        {**labels, "job": f"{job}-{labels['job']}" if "job" in labels else job} for labels in alerts
    ]
