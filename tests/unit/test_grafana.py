"""What tests say that Grafana does with dashboards; and that replays show each of their panels."""

import doctest
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from exporter.alerts.model import Dashboard
from tests.dashboards import grafana
from tests.dashboards import preferred as preferring
from tests.dashboards.grafana import Labels, Span, interpolated, table_problems, transformed
from tests.dashboards.panels import Json, Panel, Variable, shipped
from tests.dashboards.preferred import preferred
from tests.incidents import shown
from tests.incidents.faster import faster_dashboard
from tests.incidents.shown import (
    BAD_NIGHT,
    ELSEWHERE,
    NOWHERE,
    SHOWN,
    SINCE_14,
    TIMEOUTS_SINCE,
    seen,
)

TARGET: Final = Variable("target", many=True, everything=".+")
LEFT_OUT: Final = [
    *ELSEWHERE.items(),
    *((BAD_NIGHT, dashboards) for dashboards in (NOWHERE, *TIMEOUTS_SINCE.values())),
]
COMPARE: Final = Variable("compare", many=False, everything="")
HOUR: Final = Span(3600, 15)


@pytest.mark.parametrize("module", [grafana, preferring, shown], ids=lambda each: each.__name__)
def test_examples(module: Any) -> None:  # noqa: ANN401 - a module
    """The examples in the helpers' words hold."""
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed


# --- Variables


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ".+"),
        ({"target": ["orders"]}, "orders"),
        ({"target": "orders"}, "orders"),
        ({"target": ["orders", "shop"]}, "(orders|shop)"),
        ({"target": ["10.0.0.1", "a+b"]}, r"(10\\.0\\.0\\.1|a\\+b)"),
        ({"target": ["back\\slash"]}, r"back\\\\slash"),
    ],
)
def test_what_is_chosen_is_matched(chosen: grafana.Chosen, expected: str) -> None:
    """Values are put as a regular expression that matches them, All as its own."""
    expr = 'pgconn_up{target=~"$target"}'
    assert interpolated(expr, [TARGET], chosen, HOUR) == f'pgconn_up{{target=~"{expected}"}}'


def test_one_value_is_put_as_it_is() -> None:
    """A variable that takes one value is no regular expression; how it is written is one."""
    for written in ("$compare", "${compare}", "[[compare]]"):
        expr = f"pgconn_up offset {written}"
        assert interpolated(expr, [COMPARE], {"compare": "1d"}, HOUR) == "pgconn_up offset 1d"


@pytest.mark.parametrize("expr", ["up offset $compare", "up{a='$unknown'}", "up[$__unknown]"])
def test_what_has_no_value_is_told(expr: str) -> None:
    """A variable that the dashboard does not have, or that nobody chose, is never empty."""
    with pytest.raises(KeyError):
        interpolated(expr, [COMPARE], {}, HOUR)


@pytest.mark.parametrize(
    ("span", "step", "rate"),
    [
        (Span(3600, 15), "15000ms", "60000ms"),
        (Span(3600, 15, points=60), "60000ms", "75000ms"),
        (Span(30, 0.5), "500ms", "2000ms"),
        (Span(3600, 15, least=60), "60000ms", "75000ms"),
    ],
)
def test_rates_find_two_scrapes(span: Span, step: str, rate: str) -> None:
    """The range of a rate is four scrapes, or a point and a scrape where points are rarer."""
    expr = "rate(x[$__rate_interval]) > avg_over_time(y[$__interval])"
    put = interpolated(expr, [], {}, span)
    assert put == f"rate(x[{rate}]) > avg_over_time(y[{step}])"


# --- Tables

MERGED: Final = (
    {"id": "merge", "options": {}},
    {
        "id": "filterFieldsByName",
        "options": {"include": {"names": ["client", "Value #A", "Value #B"]}},
    },
    {
        "id": "organize",
        "options": {
            "excludeByName": {},
            "indexByName": {"client": 0, "Value #B": 1, "Value #A": 2},
            "renameByName": {"client": "Client", "Value #A": "Held", "Value #B": "Busy"},
        },
    },
)
API: Final = {"client": "api", "target": "orders"}
CELERY: Final = {"client": "celery", "target": "orders"}
LINK: Final = "/d/pgconn-load?var-client=${__data.fields.client:percentencode}"


def table(
    order: str = "Held", column: str = "Client", link: str = LINK, steps: Sequence[Json] = MERGED
) -> Panel:
    """Give a table with the words that may name what it does not have."""
    links = {"id": "links", "value": [{"title": "Load", "url": link}]}
    override = {"matcher": {"id": "byName", "options": column}, "properties": [links]}
    options = {"sortBy": [{"displayName": order, "desc": True}]}
    json = {"options": options, "fieldConfig": {"overrides": [override]}}
    return Panel("Top", "table", (), tuple(steps), json)


def test_fields_are_named_ordered_and_chosen() -> None:
    """The columns are those of the transformations, by their new names."""
    fields = transformed(MERGED, {"A": [API], "B": [API]})
    assert list(fields.items()) == [
        ("client", "Client"),
        ("Value #B", "Busy"),
        ("Value #A", "Held"),
    ]


def test_a_table_that_has_what_it_names() -> None:
    """Nothing is told of a good one."""
    assert table_problems(table(), {"A": [API, CELERY], "B": [CELERY, API]}) == []


@pytest.mark.parametrize(
    ("panel", "answers", "problem"),
    [
        (table(), {"A": [API], "B": [API, CELERY]}, "other rows by query B"),
        (table(), {"A": [API], "B": [API | {"state": "idle"}]}, "other rows by query B"),
        (table(), {"A": [{"target": "x"}], "B": [{"target": "x"}]}, "no field client"),
        (table(), {"A": [API]}, "no field Value #A, Value #B"),
        (table(steps=MERGED[:2]), {"A": [API], "B": [API]}, "no column Client"),
        (table(order="Age"), {"A": [API], "B": [API]}, "no column Age"),
        (table(column="client"), {"A": [API], "B": [API]}, "no column client"),
        (
            table(link=LINK.replace(".client", ".target")),
            {"A": [API], "B": [API]},
            "no field target for a link",
        ),
    ],
)
def test_what_a_table_lacks_is_told(
    panel: Panel, answers: Mapping[str, Sequence[Labels]], problem: str
) -> None:
    """Other rows, fields that nobody gave, columns that are not there, links to nothing."""
    assert any(told.startswith(problem) for told in table_problems(panel, answers))


# --- Replays


def test_dashboards_are_made_faster() -> None:
    """Durations of queries and of what is marked are shortened, and nothing is left out."""
    document: Json = {
        "panels": [{"type": "row"}, {"targets": [{"expr": "deriv(x[30m])"}], "interval": "1m"}],
        "annotations": {"list": [{"target": {"expr": "changes(x[5m])"}}]},
    }
    faster = faster_dashboard(document)
    assert faster["panels"][1] == {"targets": [{"expr": "deriv(x[1m])"}], "interval": "2s"}
    assert faster["annotations"]["list"] == [{"target": {"expr": "changes(x[10s])"}}]
    assert document["panels"][1]["targets"] == [{"expr": "deriv(x[30m])"}]


def test_every_panel_is_shown_in_an_incident() -> None:
    """Each panel that asks for data has an incident in which its data has to be there."""
    for uid, dashboard in shipped().items():
        titles = [panel.title for panel in dashboard.panels]
        assert len(titles) == len(set(titles)), uid
        asking = dashboard.asking()
        shows = {
            title
            for unseen in SHOWN.values()
            if uid in unseen
            for title in seen(asking, unseen[uid])
        }
        assert set(asking) - shows == set(), uid


def test_what_old_servers_do_not_tell() -> None:
    """Panels that are left out for PostgreSQL 13 are there."""
    dashboards = shipped()
    for uid, titles in SINCE_14.items():
        assert set(titles) <= dashboards[uid].asking().keys()


@pytest.mark.parametrize(
    ("incident", "uid", "title", "letters"),
    [
        (incident, uid, title, letters)
        for incident, dashboards in LEFT_OUT
        for uid, panels in dashboards.items()
        for title, letters in panels.items()
    ],
)
def test_what_other_incidents_show(incident: str, uid: Dashboard, title: str, letters: str) -> None:
    """A query that is left to an incident is of a panel which it has, and prefers something."""
    dashboard = shipped()[uid]
    asking = dashboard.asking()
    assert title in seen(asking, SHOWN[incident][uid])
    exprs = {target.ref: target.expr for target in asking[title].targets}
    for letter in letters:
        expr = interpolated(exprs[letter], dashboard.variables, {"compare": "1d"}, HOUR)
        assert preferred(expr), letter


def test_every_incident_is_looked_at() -> None:
    """Each moment of the table is one of a test, once."""
    tests = Path(shown.__file__).parent.glob("test_*.py")
    looked = re.findall(r'\.shows\("([^"]+)"', "\n".join(each.read_text() for each in tests))
    assert sorted(looked) == sorted(SHOWN)
