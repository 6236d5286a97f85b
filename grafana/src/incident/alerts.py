"""What is wrong, since when, and where to read on."""

from collections.abc import Iterator
from typing import Final

from exporter.alerts import GROUPS
from exporter.alerts.model import Dashboard
from grafana.src.house import BLUE, CLEAR, ORANGE, RED, Column, Link, Query, Table, Word, to
from grafana.src.incident.firing import firing


def _next_dashboards() -> Iterator[tuple[Dashboard, str]]:
    """Give the dashboards but the one that is the default, and the alerts that lead there."""
    leads = {
        rule.alert: Dashboard.EXPORTER if rule.alert.startswith("Pgconn") else rule.dashboard
        for group in GROUPS
        for rule in group.rules
    }
    for dashboard in (Dashboard.BLOCKING, Dashboard.LOAD, Dashboard.PGBOUNCER, Dashboard.EXPORTER):
        names = [alert for alert, led in leads.items() if led is dashboard]
        yield dashboard, "|".join(names)


def _row_of_alert(expr: str) -> str:
    """Name what an alert is about, and the dashboard that comes next, in labels that all have."""
    for label in ("target", "client"):
        expr = f'label_replace({expr}, "{label}", "-", "{label}", "")'
    ways = [(Dashboard.CONNECTIONS, ".*"), *_next_dashboards()]
    for dashboard, names in ways:
        expr = f'label_replace({expr}, "next", "{dashboard}", "alertname", "{names}")'
    return expr


_ALERT = "alertname, target, client"
# Which of them, the other side of the `and` says.
_SINCE = f"""\
1000 * min by ({_ALERT}) (
  ALERTS_FOR_STATE{{target=~".*"}} and ignoring (alertstate) {firing()}
)
or on ({_ALERT})
0 * max by ({_ALERT}) ({firing()})"""
_SEVERITY = "\nor ".join(
    f"{number} * max by ({_ALERT}) ({firing(*matchers)})"
    for number, matchers in (
        (3, ('severity="critical"',)),
        (2, ('severity="warning"',)),
        (1, ()),
    )
)
_NEXT: Final = {
    Dashboard.CONNECTIONS: "Connections",
    Dashboard.BLOCKING: "Blocking",
    Dashboard.LOAD: "Load",
    Dashboard.PGBOUNCER: "PgBouncer",
    Dashboard.EXPORTER: "Exporter",
}
_RUNBOOK = Link("Runbook", "@{runbooks}/${__data.fields.alertname:percentencode}.md")
_GO = Link("Go there", "/d/${__value.raw}?" + to(Dashboard.CONNECTIONS).url.partition("?")[2])

ALERTS: Final = Table(
    title="Alerts that fire",
    question="What is wrong, and since when?",
    meaning="Whatever is chosen, alerts of the exporter itself are here, too.",
    then="A click on its name opens its runbook, one at the right the dashboard for it.",
    queries=(
        Query(expr=_row_of_alert(_SINCE)),
        Query(expr=_row_of_alert(_SEVERITY)),
    ),
    unit="short",
    width=12,
    columns=(
        Column(
            name="B",
            title="Severity",
            unit="short",
            width=88,
            words={
                3: Word("page", RED),
                2: Word("ticket", ORANGE),
                1: Word("info", BLUE),
            },
        ),
        Column(name="alertname", title="Alert", links=(_RUNBOOK,)),
        Column(name="target", title="Target", width=105),
        Column(name="client", title="Client", width=90),
        Column(
            name="A",
            title="Since",
            unit="dateTimeFromNow",
            width=142,
            words={0: Word("unknown", CLEAR)},
            base=CLEAR,
        ),
        Column(
            name="next",
            title="Go to",
            width=100,
            words={each.value: Word(title, BLUE) for each, title in _NEXT.items()},
            links=(_GO,),
        ),
    ),
    order="Severity",
    empty="No alert fires",
)
"""A row for each alert that fires."""
