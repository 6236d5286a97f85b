"""What the sessions do: whether they run, or what they wait for, and whose they are."""

from typing import Final

from grafana.src.house import BLUE, GREEN, GREY, PURPLE, Query, Row, TimeSeries
from grafana.src.load.active import active
from grafana.src.load.clients import CLIENT_LINKS, CLIENT_NAME
from grafana.src.shared import LINES

_BEFORE: Final = Query(
    expr=active("target", " offset $compare"),
    legend="{{target}}, before",
    dashed=True,
    colour=GREY,
    linked=False,
)

SESSIONS: Final = Row(
    "What do the sessions do?",
    (
        TimeSeries(
            title="Active sessions by what they wait for",
            question="Do the active sessions run, or what do they wait for?",
            meaning=(
                "How many are active on average, stacked by wait event. CPU: on a processor. In"
                " grey: all of them, as long ago as is chosen above."
            ),
            then=(
                "Lock: dashboard Blocking. CPU or IO: the statement below that takes most of the"
                " time. LWLock: make the pool smaller. Client: look at the client, not here."
            ),
            queries=(
                Query(
                    expr=f"""\
label_replace(
  label_join(
topk({LINES}, {active("target, wait_event_type, wait_event")}),
    "wait", ":", "wait_event_type", "wait_event"
  ),
  "wait", "CPU", "wait", ":"
)""",
                    legend="{{target}} {{wait}}",
                ),
                _BEFORE,
            ),
            unit="short",
            width=12,
            height=9,
            stacked=True,
            colours={" CPU$": GREEN, " Lock:": PURPLE, " IO:": BLUE},
            empty="Nobody is active",
            decimals=1,
        ),
        TimeSeries(
            title="Active sessions by client",
            question="Whose sessions are active?",
            meaning=(
                "How many on average, stacked. In grey: all of them, as long ago as is chosen"
                " above."
            ),
            then=(
                "Does one client grow? More calls a second (below) are more requests: stem them."
                " The same calls, more sessions: its statements are slower."
            ),
            queries=(
                Query(
                    expr=f"topk({LINES}, {active('target, client')})",
                    legend=CLIENT_NAME,
                ),
                _BEFORE,
            ),
            unit="short",
            width=12,
            height=9,
            stacked=True,
            empty="Nobody is active",
            links=CLIENT_LINKS,
            decimals=1,
        ),
    ),
)
"""The average active sessions, by what they wait for and by client."""
