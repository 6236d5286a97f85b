"""What Alertmanager does with the alerts: one page an incident, causes before symptoms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exporter.alerts.rendering import Document, Options

PAGER, TICKETS, NOBODY = "pgconn-pager", "pgconn-tickets", "pgconn-nobody"

OURS: Final = 'alertname=~"(Pgconn|Postgres|PgBouncer).+"'
SAME_SERVER: Final = ("job", "server")
SAME_TARGET: Final = ("job", "target")
SAME_CLIENT: Final = ("job", "server", "client")
SAME_EXPORTER: Final = ("job", "instance")
SAME_JOB: Final = ("job",)


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While one of the causes fires, the symptoms that share these labels with it are silent."""

    causes: tuple[str, ...]
    symptoms: tuple[str, ...]
    same: tuple[str, ...]


# No alert may silence, by whatever detour, what silences it: both would be silent then.
INHIBITIONS: Final[tuple[Inhibition, ...]] = ()


def fragment(options: Options) -> Document:
    """Give what Alertmanager's configuration needs for our alerts: a route, inhibition, receivers.

    The receivers have names only: how a person is reached is the user's own.
    """
    return {
        "route": {"receiver": NOBODY, "routes": [_route(options)]},
        "inhibit_rules": list(_inhibit_rules(options)),
        "receivers": [{"name": name} for name in (PAGER, TICKETS, NOBODY)],
    }


def _route(options: Options) -> Document:
    return {
        "matchers": [f'job="{options.job}"', OURS],
        "receiver": NOBODY,
        "group_by": list(SAME_SERVER),
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "4h",
        "routes": [
            {"matchers": ['severity="critical"'], "receiver": PAGER},
            {"matchers": ['severity="warning"'], "receiver": TICKETS},
        ],
    }


def _inhibit_rules(options: Options) -> Iterator[Document]:
    job = f'job="{options.job}"'
    yield {
        "source_matchers": [job, OURS, 'severity="critical"'],
        "target_matchers": [job, OURS, 'severity=~"warning|info"'],
        "equal": list(SAME_SERVER),
    }
    for each in INHIBITIONS:
        yield {
            "source_matchers": [job, _among(each.causes)],
            "target_matchers": [job, _among(each.symptoms)],
            "equal": list(each.same),
        }


def _among(alerts: tuple[str, ...]) -> str:
    return f'alertname=~"{"|".join(alerts)}"'
