"""What Alertmanager does with the alerts: one page an incident, causes before symptoms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exporter.alerts.model import INSTANCE, JOB, SERVER, SEVERITY, Severity
from exporter.alerts.rendering import Document, Options, to_yaml

PAGER, TICKETS, NOBODY = "pgconn-pager", "pgconn-tickets", "pgconn-nobody"

OURS: Final = 'alertname=~"(Pgconn|Postgres|PgBouncer).+"'
# Alerts of a severity that is not ours are somebody else's, whatever their names.
OUR_SEVERITIES: Final = f'{SEVERITY}=~"{"|".join(Severity)}"'

# The page is written into the ticket too. Alertmanager never says that an alert is over which ends
# while it is silent: a ticket that a page had silenced would stay open for ever without it.
TICKETED: Final = f'{SEVERITY}=~"{Severity.CRITICAL}|{Severity.WARNING}"'

# One server is one incident: PgBouncer's alerts bear the server behind it. Where two exporters
# watch a server, they page once.
GROUP_BY: Final = (JOB, SERVER)
# Two evaluations of 15 s: the cause is there before its symptom is sent, though another group of
# rules finds it. More would only make every page later.
GROUP_WAIT: Final = "30s"
# What is added to an incident, or its end, can wait so long: who is awake need not be called again.
GROUP_INTERVAL: Final = "5m"
# A page that nobody has answered in this time was overlooked; a ticket has a day.
REPEAT_PAGE: Final = "4h"
REPEAT_TICKET: Final = "24h"

SAME_SERVER: Final = (JOB, SERVER)
SAME_CLIENT: Final = (JOB, SERVER, "client")
SAME_EXPORTER: Final = (JOB, INSTANCE)
SEEN_BY_SAME_EXPORTER: Final = (JOB, INSTANCE, "target")
SAME_JOB: Final = (JOB,)


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While the cause pages, the symptoms that share these labels with it are silent.

    Only its critical alert is a cause: a ticket must not silence a page.
    """

    cause: str
    same: tuple[str, ...]
    why: str
    symptoms: tuple[str, ...] = ()
    """The alerts that are silent, where it is not all of them."""
    spared: tuple[str, ...] = ()
    """The alerts that are not silent, where all others are."""


# No alert may silence, by whatever detour, what silences it: both would be silent then.
INHIBITIONS: Final = (
    Inhibition(
        "PgconnExporterAbsent",
        SAME_JOB,
        "No exporter is scraped: whatever still fires is left over.",
    ),
    Inhibition(
        "PgconnExporterDown",
        SAME_EXPORTER,
        "What this exporter saw is left over; another exporter's alerts stand.",
        spared=("PgconnExporterAbsent",),
    ),
    Inhibition(
        "PgconnTargetUnreachable",
        SEEN_BY_SAME_EXPORTER,
        "What this exporter saw is old; who reaches the target is right. Refusals are a cause.",
        spared=("PostgresConnectionsRefused",),
    ),
    Inhibition(
        "PostgresConnectionsRefused",
        SEEN_BY_SAME_EXPORTER,
        "The server refuses the exporter as it refuses everybody.",
        symptoms=("PgconnTargetUnreachable", "PostgresProbeFailing"),
    ),
    Inhibition(
        "PostgresConnectionsRefused",
        SAME_SERVER,
        "All slots are taken, and the page says so and by whom.",
        symptoms=("PostgresClientHogsSlots", "PostgresSlotsCritical"),
    ),
    Inhibition(
        "PostgresOrphansExhaustSlots",
        SAME_SERVER,
        "The slots are full of connections that nobody uses: ending them is the cure.",
        symptoms=("PostgresClientHogsSlots", "PostgresSlotsCritical"),
    ),
    Inhibition(
        "PostgresClientHogsSlots",
        SAME_SERVER,
        "It names the client that fills the slots.",
        symptoms=("PostgresSlotsCritical",),
    ),
    Inhibition(
        "PostgresRootBlockerIdle",
        SAME_SERVER,
        "Everybody waits for one session: ending it ends all of this.",
        symptoms=(
            "PostgresSessionsBlocked",
            "PostgresLockWaitLong",
            "PostgresSlowCulprits",
            "PostgresQueriesOutliveClient",
            "PostgresClientPoolSaturated",
            "PgBouncerPoolSaturated",
            "PostgresClientHogsSlots",
            "PostgresSlotsCritical",
        ),
    ),
    Inhibition(
        "PostgresQueriesOutliveClient",
        SAME_CLIENT,
        "The client's pool is busy with queries whose answers nobody awaits.",
        symptoms=("PostgresClientPoolSaturated",),
    ),
    Inhibition(
        "PostgresQueriesOutliveClient",
        SAME_SERVER,
        "So is PgBouncer's, which does not know of that client.",
        symptoms=("PgBouncerPoolSaturated",),
    ),
)

_CRITICAL_FIRST: Final = (
    "A page comes before the server's tickets; what cannot be reached has a rule of its own."
)


def commented_fragment(options: Options) -> str:
    """Give the fragment as YAML, each rule of inhibition with its reason above it."""
    reasons = iter([_CRITICAL_FIRST, *(each.why for each in INHIBITIONS)])
    lines = to_yaml(fragment(options)).splitlines()
    return "".join(
        f"# {next(reasons)}\n{line}\n" if line == "- source_matchers:" else f"{line}\n"
        for line in lines
    )


def fragment(options: Options) -> Document:
    """Give what Alertmanager's configuration needs for our alerts: a route, inhibition, receivers.

    The receivers have names only: how a person is reached is the user's own.
    """
    return {
        "route": {"receiver": NOBODY, "routes": [_route(options)]},
        "inhibit_rules": [_critical_first(options), *_inhibit_rules(options)],
        "receivers": [{"name": name} for name in (PAGER, TICKETS, NOBODY)],
    }


def _route(options: Options) -> Document:
    return {
        "matchers": [_job(options), OURS, OUR_SEVERITIES],
        "receiver": NOBODY,
        "group_by": list(GROUP_BY),
        "group_wait": GROUP_WAIT,
        "group_interval": GROUP_INTERVAL,
        "repeat_interval": REPEAT_PAGE,
        "routes": [
            {"matchers": [_is(Severity.CRITICAL)], "receiver": PAGER, "continue": True},
            {"matchers": [TICKETED], "receiver": TICKETS, "repeat_interval": REPEAT_TICKET},
        ],
    }


def _critical_first(options: Options) -> Document:
    """Let pages silence tickets: but a PgBouncer that is down not those of the server behind it."""
    return {
        "source_matchers": [
            _job(options),
            OURS,
            'alertname!="PgconnTargetUnreachable"',
            _is(Severity.CRITICAL),
            *_present(SAME_SERVER),
        ],
        "target_matchers": [_job(options), OURS, f'{SEVERITY}=~"warning|info"'],
        "equal": list(SAME_SERVER),
    }


def _inhibit_rules(options: Options) -> Iterator[Document]:
    for each in INHIBITIONS:
        yield {
            "source_matchers": [
                _job(options),
                f'alertname="{each.cause}"',
                _is(Severity.CRITICAL),
                *_present(each.same),
            ],
            "target_matchers": [_job(options), *_symptoms(each)],
            "equal": list(each.same),
        }


def _symptoms(inhibition: Inhibition) -> Iterator[str]:
    if inhibition.symptoms:
        yield _among(inhibition.symptoms)
    else:
        yield OURS
        yield f'alertname!~"{"|".join((inhibition.cause, *inhibition.spared))}"'


def _among(alerts: tuple[str, ...]) -> str:
    only, *more = alerts
    return f'alertname=~"{"|".join(alerts)}"' if more else f'alertname="{only}"'


def _present(same: tuple[str, ...]) -> Iterator[str]:
    """Ask for the labels: those that are missing on both sides would count as the same."""
    return (f'{label}!=""' for label in same if label != JOB)


def _job(options: Options) -> str:
    return f'{JOB}="{options.job}"'


def _is(severity: Severity) -> str:
    return f'{SEVERITY}="{severity}"'
