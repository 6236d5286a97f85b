"""Which read is late, and why: its target is out of reach, or something else makes it fail."""

from typing import Final

from grafana.src.exporter.nothing import NONE, NOTHING, or_nothing
from grafana.src.exporter.staleness import AGE, INTERVAL, READ, STALE
from grafana.src.house import (
    CLEAR,
    GREEN,
    GREY,
    NO,
    ORANGE,
    RED,
    Column,
    Query,
    Row,
    Table,
    Timeline,
    TimeSeries,
    Word,
)
from grafana.src.shared import LINES

_FRESH: Final = (
    f"{AGE} <= on ({READ}) clamp_min({INTERVAL} * @{{stale_intervals}}, @{{stale_after}})"
)


def _rate(counter: str) -> str:
    return f"max by ({READ}) (rate({counter}[$__rate_interval]))"


_SECONDS: Final = _rate("pgconn_poll_duration_seconds_sum")
_POLLS: Final = _rate("pgconn_poll_duration_seconds_count")
_FAILED: Final = f"sum by ({READ}) (rate(pgconn_poll_errors_total[$__rate_interval]))"

_TABLE: Final = Table(
    title="Reads",
    question="Which read is late, how long does it take, and how often does it fail?",
    meaning="A read that is not done needs what is not there: the target itself, pg_monitor, or an"
    " extension. The interval in force is longer than the configured one where polls would cost"
    " more than max_overhead. Time taken is the share of all time that polls are at work.",
    then="Late: see below at the right why it fails, then the runbook of PgconnDataStale. Long"
    " intervals: give the read a longer interval, or the exporter a higher max_overhead.",
    queries=(
        Query(
            expr=f"((\n{STALE}\n) >= bool 0)\n"
            f"or on ({READ}) ({_FRESH}) * 0\n"
            f"or on ({READ}) {INTERVAL} * 0 + ({NOTHING})"
        ),
        Query(expr=or_nothing(AGE, INTERVAL, READ)),
        Query(expr=INTERVAL),
        Query(expr=or_nothing(f"{_SECONDS} / on ({READ}) ({_POLLS} > 0)", INTERVAL, READ)),
        Query(expr=or_nothing(_SECONDS, INTERVAL, READ)),
        Query(expr=f"{_FAILED} / on ({READ}) ({_POLLS} > 0) or on ({READ}) {INTERVAL} * 0"),
    ),
    columns=(
        Column(name="instance", title="Exporter"),
        Column(name="target", title="Target"),
        Column(name="collector", title="Read"),
        Column(
            name="A",
            title="State",
            width=100,
            words={
                1: Word("Late", ORANGE),
                0: Word("Fresh", GREEN),
                NOTHING: Word("Not done", GREY),
            },
        ),
        Column(
            name="B",
            title="Last success before",
            unit="s",
            base=CLEAR,
            words={NOTHING: Word("never", CLEAR)},
        ),
        Column(name="C", title="Interval in force", unit="s"),
        Column(name="D", title="Mean time", unit="s", base=CLEAR, words=NONE),
        Column(
            name="E", title="Time taken", unit="percentunit", decimals=2, base=CLEAR, words=NONE
        ),
        Column(name="F", title="Polls that fail", unit="percentunit", decimals=0),
    ),
    order="State",
    unit="short",
    width=24,
    height=9,
    empty="No exporter tells of any read",
)

_UP: Final = Timeline(
    title="Targets reached",
    question="When was which target out of reach?",
    meaning="As the exporter saw it. A gap is the exporter's own, or Prometheus's.",
    then="Compare with the errors at the right: refused is nobody listening, timeout a network or"
    " a host that hangs.",
    queries=(Query(expr="min by (target) (pgconn_up)", legend="{{target}}"),),
    unit="short",
    width=12,
    words={NO: Word("Not reached", RED), 1: Word("Reached", GREEN)},
)

_ERRORS: Final = TimeSeries(
    title="Polls that fail, by reason",
    question="Why does a read fail?",
    then="Look for `poll failed` in the exporter's log: it tells the error, and the cure where"
    " that is known.",
    queries=(
        Query(
            expr=f"topk({LINES}, max by (target, collector, reason)"
            " (rate(pgconn_poll_errors_total[$__rate_interval])))",
            legend="{{target}} {{collector}}: {{reason}}",
        ),
    ),
    unit="cps",
    width=12,
    empty="No poll has failed",
)

READS: Final = Row("Which read is late, and why?", (_TABLE, _UP, _ERRORS))
"""The state of every read, when targets were out of reach, and why polls failed."""
