"""Whether the picture can be trusted: what is old or missing, which exporter does not answer."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.exporter.nothing import NONE, or_nothing
from grafana.src.exporter.scrapes import by_exporter
from grafana.src.exporter.staleness import STALE
from grafana.src.house import (
    GREEN,
    NO,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Query,
    Row,
    Stat,
    Step,
    Table,
    Word,
    orange,
    to,
)
from grafana.src.shared import added_up

_UNREACHED: Final = "max by (target) (pgconn_up == bool 0)"

_TABLE: Final = Table(
    title="Can the picture be trusted?",
    question="Of which target is the picture old, or a part missing?",
    meaning="A target that is not reached shows nothing else. Stale reads make what they feed"
    " old; without pg_monitor everything about connections, locks and queries is missing. Folded"
    " label sets are counted as `other`. The TCP table is only looked at with proc: true.",
    then="Not reached: connect with psql from the exporter's host. Otherwise see below which read"
    " fails and why; the exporter's log tells the cure of each.",
    queries=(
        Query(expr=_UNREACHED),
        Query(
            expr=or_nothing(
                f"max by (target) (count by (instance, target) (\n{STALE}\n))"
                " or on (target) (max by (target) (pgconn_up) == 1) * 0",
                _UNREACHED,
                "target",
            )
        ),
        *(
            Query(expr=or_nothing(f"max by (target) ({metric})", _UNREACHED, "target"))
            for metric in ("pgconn_privileges_limited", "1 - pgconn_tcp_table_usable")
        ),
        Query(expr=f"{added_up('target', 'pgconn_series_folded')} or on (target) {_UNREACHED} * 0"),
    ),
    columns=(
        Column(name="target", title="Target", links=(to(Dashboard.INCIDENT, "target", row=True),)),
        Column(name="A", title="Reached", words={1: Word("No", RED), 0: Word("Yes", GREEN)}),
        Column(
            name="B",
            title="Stale reads",
            unit="short",
            steps=(orange(1),),
            words={0: Word("None", GREEN), **NONE},
        ),
        Column(
            name="C",
            title="Privileges",
            words={1: Word("Limited", ORANGE), 0: Word("Complete", GREEN), **NONE},
        ),
        Column(
            name="D",
            title="TCP table",
            words={1: Word("Not usable", YELLOW), 0: Word("Usable", GREEN), **NONE},
        ),
        Column(
            name="E",
            title="Folded",
            unit="short",
            steps=(Step(YELLOW, 1),),
            words={0: Word("None", GREEN)},
        ),
    ),
    order="Reached",
    unit="short",
    width=16,
    empty="No exporter tells of any target: is the job scraped?",
)

_PAGES: Final = by_exporter("up")
_TARGET_PAGES: Final = by_exporter('up{instance=~".+/.*"}')

_ANSWERS: Final = Stat(
    title="Exporter answers",
    question="Does each exporter answer Prometheus?",
    meaning="In part: some of its pages cannot be scraped, and what they would say is missing.",
    then="No: run `curl http://HOST:PORT/-/healthy` and look at its log. In part: Status >"
    " Targets in Prometheus tells the error of each scrape.",
    queries=(
        Query(
            expr=f"""\
(
  max by (exporter) ({_TARGET_PAGES})
  or on (exporter) max by (exporter) ({_PAGES})
)
+ on (exporter) min by (exporter) ({_PAGES})""",
            legend="{{exporter}}",
        ),
    ),
    unit="short",
    width=4,
    height=8,
    base=RED,
    words={0: Word("No", RED), 1: Word("In part", ORANGE), 2: Word("Yes", GREEN)},
    empty="None is scraped",
)

_CONFIGURED: Final = Stat(
    title="Configuration loaded",
    question="Does each exporter run with the configuration that its file has?",
    meaning="No: the file was changed and could not be loaded; what was in force still is.",
    then="Run `pgconn-exporter check-config` with the file: it tells every error with its line.",
    queries=(
        Query(
            expr="min by (instance) (pgconn_config_last_reload_successful)",
            legend="{{instance}}",
        ),
    ),
    unit="short",
    width=4,
    height=8,
    base=ORANGE,
    words={NO: Word("No", ORANGE), 1: Word("Yes", GREEN)},
    empty="Unknown",
)

TRUST: Final = Row("Can the picture be trusted?", (_TABLE, _ANSWERS, _CONFIGURED))
"""What is missing from the picture, and the exporters that do not answer or run as configured."""
