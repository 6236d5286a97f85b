"""Whether it is more than usual: more load than the week before, or more calls."""

from typing import Final

from grafana.src.house import BLUE, GREY, Query, Row, Stat, TimeSeries, orange
from grafana.src.load.active import ten_minutes
from grafana.src.load.clients import CLIENT_LINKS, CLIENT_NAME
from grafana.src.pg_stat_statements import LEAST
from grafana.src.shared import added_up

_BY_CLIENT: Final = ten_minutes("target, client")


def _calls(labels: str, offset: str = "") -> str:
    return added_up(labels, f"rate(pgconn_statement_calls_total[$__rate_interval]{offset})")


USUAL: Final = Row(
    "Is it more than usual?",
    (
        TimeSeries(
            title="Load against its own week",
            question="Does a client keep far more sessions active than usual?",
            meaning=(
                "Active sessions over ten minutes, divided by the week's average, or by"
                " yesterday's highest at this time if that is more. 0: less than"
                " @{load_least.words} are active, or Prometheus remembers no day before. Orange"
                " opens a ticket."
            ),
            then="More requests, or slower ones? Runbook PostgresActiveSessionsHigh.",
            queries=(
                Query(
                    expr=f"""\
(
  {_BY_CLIENT} >= @{{load_least}}
)
/ on (target, client)
clamp_min(
  (
    avg_over_time(({_BY_CLIENT})[6d:1h] offset 1d)
    < on (target, client)
    max_over_time(({_BY_CLIENT})[1h:5m] offset 23h30m)
  ) * 0
  + on (target, client)
  max_over_time(({_BY_CLIENT})[1h:5m] offset 23h30m)
  or on (target, client)
  avg_over_time(({_BY_CLIENT})[6d:1h] offset 1d),
  0.01
)
or on (target, client)
0 * {_BY_CLIENT}""",
                    legend=CLIENT_NAME,
                ),
            ),
            unit="short",
            width=9,
            steps=(orange("load_factor"),),
            wide_legend=False,
            empty="Nobody is active",
            links=CLIENT_LINKS,
            decimals=1,
        ),
        TimeSeries(
            title="Calls a second",
            question="Do more requests come in?",
            meaning=(
                "Calls of the exported statements, stacked by user. In grey: all of them, as long"
                " ago as is chosen above."
            ),
            then=(
                "More: stem them where they come from (rate limit, retries, a job). As many as"
                " ever while more sessions are active: the statements are slower."
            ),
            queries=(
                Query(expr=_calls("target, usename"), legend="{{target}} {{usename}}"),
                Query(
                    expr=_calls("target", " offset $compare"),
                    legend="{{target}}, before",
                    dashed=True,
                    colour=GREY,
                ),
            ),
            unit="reqps",
            width=9,
            stacked=True,
            wide_legend=False,
            every=LEAST,
            empty="No statement was called",
        ),
        Stat(
            title="Statistics began",
            question="Since when does pg_stat_statements count?",
            meaning="pgconn_statement_mean_seconds is the mean since then. From PostgreSQL 14 on.",
            then="Long ago: believe the recent mean. Just now: somebody has reset it.",
            queries=(
                Query(
                    expr="1000 * max by (target) (pgconn_statements_reset_timestamp_seconds)",
                    legend="{{target}}",
                ),
            ),
            unit="dateTimeFromNow",
            width=3,
            height=8,
            base=BLUE,
            empty="Unknown",
        ),
        Stat(
            title="Evicted",
            question="Are there more statements than pg_stat_statements has room for?",
            meaning="Evictions a second: what was thrown out counts from zero again. From 14 on.",
            then="More than a few: raise pg_stat_statements.max, or have fewer distinct texts.",
            queries=(
                Query(
                    expr=(
                        "max by (target) (rate(pgconn_statements_evicted_total[$__rate_interval]))"
                    ),
                    legend="{{target}}",
                ),
            ),
            unit="cps",
            width=3,
            height=8,
            base=BLUE,
            empty="Unknown",
            spark=True,
        ),
    ),
)
"""The load against its own week, calls, and what pg_stat_statements can tell of them."""
