"""What changed, and when: who grew, and what came first."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import BLUE, GREY, ORANGE, RED, Query, Row, Timeline, TimeSeries, Word, to
from grafana.src.incident.firing import firing
from grafana.src.incident.holders import BY_CLIENT
from grafana.src.incident.states import STATE, STATES, UNKNOWN
from grafana.src.shared import LINES

_PAST: Final = STATES | {5: Word("Ticket", ORANGE), 6: Word("Page", RED)}
_USABLE = "max by (target) (pgconn_slots_usable)"

CHANGES: Final = Row(
    "What changed, and when?",
    (
        TimeSeries(
            title="Slots used, by client",
            question="Who grew, and since when?",
            meaning=(
                "Dashed are what there is, from where on an alert fires (orange and red), and all"
                " that was used so long ago as is chosen above."
            ),
            then=(
                "Look at what is marked where the curve bends: a restart, a changed timeout, a"
                " deployment. A click leads to the client's connections."
            ),
            queries=(
                Query(expr=f"topk({LINES}, {BY_CLIENT})", legend="{{target}} {{client}}"),
                Query(
                    expr=_USABLE, legend="{{target}} usable", dashed=True, linked=False, colour=GREY
                ),
                Query(
                    expr=f"@{{slots_high}} * {_USABLE}",
                    legend="{{target}} high",
                    dashed=True,
                    linked=False,
                    colour=ORANGE,
                ),
                Query(
                    expr=f"@{{slots_critical}} * {_USABLE}",
                    legend="{{target}} critical",
                    dashed=True,
                    linked=False,
                    colour=RED,
                ),
                Query(
                    expr="max by (target) (pgconn_slots_used offset $compare)",
                    legend="{{target}} all, before",
                    dashed=True,
                    linked=False,
                    colour=BLUE,
                ),
            ),
            unit="short",
            width=13,
            height=9,
            stacked=True,
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target", "client"),),
        ),
        Timeline(
            title="Could clients connect, and what fired",
            question="What came first?",
            meaning="Below each target, the alerts that paged (red) or opened a ticket (orange).",
            then="Begin with the runbook of what fired first: the others may follow from it.",
            queries=(
                Query(expr=STATE, legend="{{target}}"),
                Query(
                    expr=f"""\
6 * max by (alertname) ({firing('severity="critical"')})
or
5 * max by (alertname) ({firing('severity="warning"')})""",
                    legend="{{alertname}}",
                ),
            ),
            unit="short",
            width=11,
            height=9,
            base=GREY,
            words=_PAST,
            empty=UNKNOWN,
        ),
    ),
)
"""The course of the slots, of the probe and of the alerts."""
