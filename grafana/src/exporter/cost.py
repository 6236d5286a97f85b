"""What it costs: the servers that are read, and the host of the exporter."""

from typing import Final

from grafana.src.exporter.nothing import NONE, NOTHING
from grafana.src.exporter.scrapes import by_exporter
from grafana.src.house import CLEAR, Column, Query, Row, Table, TimeSeries
from grafana.src.shared import LINES, added_up

_POLLED: Final = "rate(pgconn_poll_duration_seconds_sum[$__rate_interval])"
_POLLING: Final = TimeSeries(
    title="Time that polls take on a target",
    question="What do the reads cost the server at most?",
    meaning="The share of the time that reads are at work, their wait for their turn included. The"
    " exporter keeps their cost below max_overhead by longer intervals.",
    then="If it grows, see under Reads which one: it has more sessions, locks or statements to"
    " look at. Give it a longer interval.",
    queries=(
        Query(
            expr=f"topk({LINES}, {added_up('target', _POLLED)})",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=8,
    wide_legend=False,
)

_CPU_USED: Final = "max by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))"
_MEMORY_USED: Final = "max by (instance) (process_resident_memory_bytes)"

_CPU: Final = TimeSeries(
    title="Processor time of the exporter",
    question="What does the exporter itself cost its host?",
    meaning="100 % is a core.",
    then="Give reads longer intervals, leave out connection_labels that thousands of clients make"
    " long, or share the targets among several exporters.",
    queries=(Query(expr=_CPU_USED, legend="{{instance}}"),),
    unit="percentunit",
    width=8,
    wide_legend=False,
)

_MEMORY: Final = TimeSeries(
    title="Memory of the exporter",
    question="Does the exporter grow without end?",
    then="It grows with targets and series, not with time: if it does, restart it and report"
    " that. Lower max_series where it is too much.",
    queries=(Query(expr=_MEMORY_USED, legend="{{instance}}"),),
    unit="bytes",
    width=8,
    wide_legend=False,
)

_BUILD: Final = "max by (instance, version) (pgconn_build_info)"
_SCRAPED: Final = f"""\
label_replace(
  max by (exporter) ({by_exporter("scrape_duration_seconds")}),
  "instance", "$1", "exporter", "(.+)"
)"""


def _of_exporters(expr: str) -> str:
    """Give each exporter's number beside its version; what no system but Linux tells is -1."""
    found = f"({expr})\n* on (instance) group_right () {_BUILD}"
    return f"{found}\nor on (instance) {_BUILD} * 0 + ({NOTHING})"


_PROCESSES: Final = Table(
    title="Exporter processes",
    question="Which version runs where, since when, and how close is it to its limits?",
    meaning="A scrape should take milliseconds: it reads memory, never a server.",
    then="Slow scrapes: the host is busy, or there are too many series. Open files near their"
    " limit: raise LimitNOFILE of its service.",
    queries=tuple(
        Query(expr=_of_exporters(expr))
        for expr in (
            "max by (instance) (time() - process_start_time_seconds)",
            "max by (instance) (time() - pgconn_config_last_reload_success_timestamp_seconds)",
            f"max by (instance) ({_SCRAPED})",
            _CPU_USED,
            _MEMORY_USED,
            (
                "max by (instance) (process_open_fds)"
                " / on (instance) (max by (instance) (process_max_fds) > 0)"
            ),
        )
    ),
    columns=(
        Column(name="instance", title="Exporter"),
        Column(name="version", title="Version"),
        *(
            Column(name=letter, title=title, unit=unit, base=CLEAR, words=NONE, decimals=decimals)
            for letter, title, unit, decimals in (
                ("A", "Runs for", "s", 0),
                ("B", "Configured for", "s", 0),
                ("C", "Scrape", "s", 1),
                ("D", "Processor", "percentunit", 1),
                ("E", "Memory", "bytes", 0),
                ("F", "Open files, of the limit", "percentunit", 1),
            )
        ),
    ),
    order="Runs for",
    unit="short",
    width=24,
    height=5,
    empty="No exporter is scraped",
)

COST: Final = Row("What does it cost?", (_POLLING, _CPU, _MEMORY, _PROCESSES))
"""What polls take of a target's time, and what the exporter takes of its host."""
