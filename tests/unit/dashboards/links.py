"""Whether each click leads somewhere, with the time and what was chosen."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from exporter.alerts.model import Dashboard
from exporter.alerts.rendering import EXAMPLE_RUNBOOKS
from tests.unit.dashboards.layout import TAG
from tests.unit.dashboards.reading import (
    RENDERED,
    Check,
    Document,
    asking,
    called,
    columns,
    labels_in,
    names_of_variables,
    options_of,
    panels,
    queries,
    read,
    strings,
    targets,
)

CHOSEN: Final = ("datasource", "job", "instance", "target")
TIME: Final = "${__url_time_range}"

# What is set from a row's server leads to another target, which has another instance.
_OF_SERVER: Final = "var-target=${__data.fields.server:percentencode}"
RUNBOOK: Final = f"{EXAMPLE_RUNBOOKS}/${{__data.fields.alertname:percentencode}}.md"
"""The page of an alert, as the alerts' own runbook_url; with a user's URL in its place."""

_BY_VALUE: Final = "/d/${__value.raw}?"

_URL: Final = re.compile(r"(?:https?:/|/d)/[^\s)\]\"']*")
_CODE: Final = re.compile(r"`[^`]*`")
_UID: Final = re.compile(r'"(pgconn-\w+)"')
_ADDRESS: Final = re.compile(r"/d/(?P<uid>[\w-]+)\?(?P<query>.*)")
_SET: Final = re.compile(r"var-(\w+)=")
_KEPT: Final = re.compile(r"\$\{(\w+):queryparam\}")
_TAKEN: Final = re.compile(r"var-\w+=([^&]*)")
_LABEL: Final = re.compile(
    r"\$\{__(?P<of>field\.labels|data\.fields)\.(?P<name>\w+):percentencode\}"
)


def leads_to_others(dashboard: Document) -> Iterator[str]:
    """Insist on links to all dashboards at the top, with the time and what was chosen."""
    links = dashboard.get("links") or ()
    if not any(link.get("type") == "dashboards" for link in links):
        yield "dashboard: leads to no other"
    for link in links:
        where = f"link {link.get('title')!r}"
        if not (link.get("keepTime") and link.get("includeVars")):
            yield f"{where}: loses the time or what was chosen"
        if link.get("type") == "dashboards" and link.get("tags") != [TAG]:
            yield f"{where}: leads to what has the tags {link.get('tags')}"


def resolves(dashboard: Document) -> Iterator[str]:
    """Insist that each link leads to a dashboard of ours, and sets variables that it has."""
    for panel in dashboard["panels"]:
        for url in _urls_of(panel):
            if url == RUNBOOK and "alertname" in columns(panel):
                continue
            uids = _destinations(panel, url)
            if not uids or uids - set(Dashboard):
                yield f"{called(panel)}: {url} is no dashboard of ours"
                continue
            for uid in sorted(uids):
                there = names_of_variables(read(RENDERED, Dashboard(uid)))
                for name in _SET.findall(url) + _KEPT.findall(url):
                    if name not in there:
                        yield f"{called(panel)}: {uid} has no ${name}"


def _destinations(panel: Document, url: str) -> set[str]:
    if url.startswith(_BY_VALUE):
        return {uid for text in strings(list(targets(panel))) for uid in _UID.findall(text)}
    found = _ADDRESS.fullmatch(url)
    return {found["uid"]} if found else set()


def keeps(dashboard: Document) -> Iterator[str]:
    """Insist that what is chosen stays chosen, and the time is the same."""
    for panel in dashboard["panels"]:
        for url in filter(lambda url: url != RUNBOOK, _urls_of(panel)):
            if TIME not in url:
                yield f"{called(panel)}: {url} loses the time"
            carried = Counter((*_SET.findall(url), *_KEPT.findall(url)))
            for name in CHOSEN:
                wanted = 0 if name == "instance" and _OF_SERVER in url else 1
                if carried[name] != wanted:
                    yield f"{called(panel)}: {url} carries ${name} {carried[name]} times"


def existing_labels(dashboard: Document) -> Iterator[str]:
    """Insist that what a link takes along from where it is clicked is there."""
    for panel in panels(dashboard):
        for url in _urls_of(panel):
            for taken in _TAKEN.findall(url):
                found = _LABEL.fullmatch(taken)
                rows = panel["type"] == "table"
                if not found:
                    yield f"{called(panel)}: {taken} is nothing that Grafana would put in"
                elif rows != (found["of"] == "data.fields"):
                    yield f"{called(panel)}: {taken} is not where a click would find it"
                elif rows and found["name"] not in columns(panel):
                    yield f"{called(panel)}: its rows have no {found['name']}, which a link takes"
        if panel["type"] != "table":
            yield from _taken_from_series(panel, dashboard)


def _taken_from_series(panel: Document, dashboard: Document) -> Iterator[str]:
    (_, defaults), *overrides = options_of(panel)
    own = {whose: options["links"] for whose, options in overrides if "links" in options}
    for query in queries(panel, dashboard):
        labels = labels_in(query.expr)
        for url in _urls_in(own.get(query.letter, defaults.get("links"))):
            for _, name in _LABEL.findall(url) if labels else ():
                if labels and name not in labels.names:
                    yield f"{query.where}: has no label {name}, which a link takes"


def suspects(dashboard: Document) -> Iterator[str]:
    """Insist that tables of the first dashboard lead on to the culprit."""
    for panel in asking(dashboard):
        is_suspects = panel["type"] == "table" and dashboard["uid"] == Dashboard.INCIDENT
        if is_suspects and not any(options.get("links") for _, options in options_of(panel)):
            yield f"{called(panel)}: leads nowhere"


def _urls_of(panel: Document) -> Iterator[str]:
    return _urls_in([part for name, part in panel.items() if name != "targets"])


def _urls_in(part: object) -> Iterator[str]:
    for text in strings(part):
        yield from _URL.findall(_CODE.sub("", text))


LINKS: Final[tuple[Check, ...]] = (leads_to_others, resolves, keeps, existing_labels, suspects)
