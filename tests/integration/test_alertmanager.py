"""Alertmanager's fragment in Alertmanager itself: who is told, of what, and how often."""

import asyncio
import subprocess
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from exporter.alerts.alertmanager import NOBODY, PAGER, TICKETS, fragment
from exporter.alerts.rendering import Options
from exporter.demo.ports import free_port
from tests.incidents.alerting import alertmanager, completed
from tests.incidents.receiving import Inbox, receivers
from tests.integration.processes import TOOLS
from tests.integration.scenarios import SCENARIOS, Alert, Scenario, alert, placed
from tests.integration.staging import eventually

pytestmark = pytest.mark.slow

SHIPPED: Final = Path(__file__).parents[2] / "grafana" / "alerts" / "alertmanager.yaml"
# The waits of the route in the test: the shipped ones are too long to be awaited.
WAITS: Final = {"group_wait": "1s", "group_interval": "2s"}

# What a user has already, who takes the fragment over.
USERS_OWN: Final[Mapping[str, Any]] = {
    "route": {
        "receiver": "team",
        "group_by": ["alertname"],
        "routes": [{"matchers": ['severity="critical"'], "receiver": "team-pager"}],
    },
    "inhibit_rules": [
        {
            "source_matchers": ['alertname="DatacenterDown"'],
            "target_matchers": ['severity="warning"'],
            "equal": ["datacenter"],
        }
    ],
    "receivers": [{"name": "team"}, {"name": "team-pager"}],
}
OUR_ROUTES: Final = [
    ("PostgresSlotsCritical", "critical", f"{PAGER},{TICKETS}"),
    ("PgBouncerPoolHigh", "warning", TICKETS),
    ("PgconnSeriesFolded", "info", NOBODY),
]
FOREIGN: Final = [
    ({"job": "postgres", "alertname": "PostgresDown", "severity": "critical"}, "team-pager"),
    ({"job": "pgconn-2", "alertname": "PostgresSlotsCritical", "severity": "warning"}, "team"),
    ({"job": "pgconn", "alertname": "TargetMissing", "severity": "critical"}, "team-pager"),
    ({"job": "pgconn", "alertname": "MyPostgresDown", "severity": "warning"}, "team"),
    ({"job": "pgconn", "alertname": "PostgresMine", "severity": "page"}, "team"),
    ({"job": "pgconn", "alertname": "PostgresMine"}, "team"),
    ({"alertname": "Watchdog", "severity": "none"}, "team"),
]


def merged(own: Mapping[str, Any], *fragments: Mapping[str, Any]) -> dict[str, Any]:
    """Take fragments over as their head says: our routes come before the user's."""
    routes = [route for each in fragments for route in each["route"]["routes"]]
    rules = [rule for each in fragments for rule in each["inhibit_rules"]]
    return {
        "route": {**own["route"], "routes": routes + own["route"].get("routes", [])},
        "inhibit_rules": rules + own.get("inhibit_rules", []),
        "receivers": fragments[0]["receivers"] + own.get("receivers", []),
    }


def amtool(*arguments: str | Path) -> str:
    """Run amtool, which must succeed."""
    ran = subprocess.run(
        [TOOLS / "amtool", *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def receiver_of(config: Path, labels: Mapping[str, str]) -> str:
    """Ask which receivers an alert reaches."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={config}", *pairs).strip()


@pytest.fixture
def shipped() -> dict[str, Any]:
    """Read the fragment as it is shipped."""
    document: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    return document


@pytest.fixture(params=["shipped", "completed", "merged"])
def config(request: pytest.FixtureRequest, shipped: dict[str, Any], tmp_path: Path) -> Path:
    """Give a configuration with the fragment in it, in each way that a user may have it."""
    full = completed(shipped, "http://127.0.0.1:1")
    documents = {"completed": full, "merged": merged(USERS_OWN, full)}
    if request.param == "shipped":
        return SHIPPED
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(documents[request.param]))
    return file


def test_alertmanager_takes_it(config: Path) -> None:
    """It is a configuration as it is, with its receivers' ways, and within a user's own."""
    assert "SUCCESS" in amtool("check-config", config)


@pytest.mark.parametrize(("alert", "severity", "receiver"), OUR_ROUTES)
def test_the_severity_says_who_is_told(
    config: Path, alert: str, severity: str, receiver: str
) -> None:
    """A page wakes somebody and is written down, a ticket waits, an info is shown only."""
    labels = {"job": "pgconn", "alertname": alert, "severity": severity, "server": "orders"}
    assert receiver_of(config, labels) == receiver


@pytest.mark.parametrize("config", ["merged"], indirect=True)
@pytest.mark.parametrize(("labels", "receiver"), FOREIGN)
def test_foreign_alerts_take_the_users_own_way(
    config: Path, labels: Mapping[str, str], receiver: str
) -> None:
    """What another exporter's job says, or somebody's own rule about ours, is not caught."""
    assert receiver_of(config, labels) == receiver


Told = dict[tuple[str, str], list[frozenset[Hashable]]]
"""The alerts of each notification, by job and server."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Alertmanager made of all scenarios."""

    pages: Told
    tickets: Told
    suppressed: list[Alert]
    """The alerts that others silenced."""
    unresolved: set[str]
    """The groups that were told, and not that they are over."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Play all scenarios at once in one Alertmanager."""
    return asyncio.run(play(tmp_path_factory.mktemp("alertmanager")))


async def play(folder: Path) -> Outcome:
    """Have everything fire, and be over when all that should be told was told."""
    url = f"http://127.0.0.1:{free_port()}"
    heard = [labels for each in SCENARIOS for labels in placed(each, each.heard)]
    silent = [labels for each in SCENARIOS for labels in placed(each, each.silent)]
    async with receivers() as inboxes, aiohttp.ClientSession() as session:
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(for_all_jobs(inboxes.url)))

        async def told() -> bool:
            expected = len(groups(PAGER)) + len(groups(TICKETS))
            return len(inboxes.pager.open | inboxes.tickets.open) >= expected

        async def over() -> bool:
            return not (inboxes.pager.open | inboxes.tickets.open)

        async with alertmanager(folder, url):
            await post(session, url, [*heard, *silent])
            with suppress(AssertionError):  # each scenario tells what it lacks
                await eventually(told, 15)
            silenced = await suppressed(session, url)
            # A symptom ends before its cause, else it would be heard in between.
            await post(session, url, [*silent, *heard], over=True)
            with suppress(AssertionError):
                await eventually(over, 15)
            unresolved = inboxes.pager.open | inboxes.tickets.open
            return Outcome(sent(inboxes.pager), sent(inboxes.tickets), silenced, unresolved)


def for_all_jobs(inboxes: str) -> dict[str, Any]:
    """Give the configuration of somebody who has as many jobs as there are scenarios."""
    jobs = {
        labels["job"] for each in SCENARIOS for labels in placed(each, (*each.heard, *each.silent))
    }
    fragments = [completed(fragment(Options(job=job)), inboxes) for job in sorted(jobs)]
    for each in fragments:
        each["route"]["routes"][0] |= WAITS
    return merged({"route": {"receiver": NOBODY}}, *fragments)


async def post(
    session: aiohttp.ClientSession, url: str, alerts: Iterable[Alert], *, over: bool = False
) -> None:
    """Send alerts as Prometheus does: that they fire, or that they are over."""
    now = datetime.now(UTC)
    # For an alert that has been firing for longer than group_wait, a group does not wait for more:
    # so none has begun yet, however late it arrives.
    minutes = (-1, 0) if over else (1, 10)
    starts, ends = (now + timedelta(minutes=each) for each in minutes)
    times = {"startsAt": starts.isoformat(), "endsAt": ends.isoformat()}
    body = [{"labels": labels, **times} for labels in alerts]
    async with session.post(f"{url}/api/v2/alerts", json=body) as response:
        assert response.status == 200, await response.text()


async def suppressed(session: aiohttp.ClientSession, url: str) -> list[Alert]:
    """Return the alerts of which Alertmanager says that others silence them."""
    async with session.get(f"{url}/api/v2/alerts") as response:
        return [each["labels"] for each in await response.json() if each["status"]["inhibitedBy"]]


def sent(inbox: Inbox) -> Told:
    """Return what an inbox was told before anything was over, by job and server."""
    told: Told = {}
    for each in inbox.firing:
        # When all is over, an interval may end between the ends of two alerts of a group.
        if len(each.alerts) < len(each.body["alerts"]):
            continue
        group = each.body["groupLabels"]
        alerts = frozenset(map(identity, each.alerts))
        told.setdefault((group["job"], group.get("server", "")), []).append(alerts)
    return told


def identity(labels: Alert) -> Hashable:
    """Give an alert's labels so that they can be compared."""
    return frozenset(labels.items())


def groups(receiver: str, scenario: Scenario | None = None) -> Told:
    """Return what a receiver should be told: one notification for a server."""
    severities = {PAGER: ("critical",), TICKETS: ("critical", "warning")}[receiver]
    members: dict[tuple[str, str], set[Hashable]] = {}
    for each in [scenario] if scenario else SCENARIOS:
        for labels in placed(each, each.heard):
            if labels["severity"] in severities:
                key = labels["job"], labels.get("server", "")
                members.setdefault(key, set()).add(identity(labels))
    return {key: [frozenset(alerts)] for key, alerts in members.items()}


def within(scenario: Scenario, told: Told) -> Told:
    """Return what was told of a scenario."""
    jobs = {labels["job"] for labels in placed(scenario, (*scenario.heard, *scenario.silent))}
    return {key: alerts for key, alerts in told.items() if key[0] in jobs}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.what)
def test_one_page_an_incident(outcome: Outcome, scenario: Scenario) -> None:
    """Pages and tickets say what they should, once for each server; all else is silenced."""
    assert within(scenario, outcome.pages) == groups(PAGER, scenario)
    assert within(scenario, outcome.tickets) == groups(TICKETS, scenario)
    silenced = set(map(identity, outcome.suppressed))
    assert silenced & set(map(identity, placed(scenario, scenario.heard))) == set()
    assert set(map(identity, placed(scenario, scenario.silent))) <= silenced


async def test_a_ticket_ends_though_it_was_silenced(tmp_path: Path) -> None:
    """A ticket whose alert ends while a page silences it is over when the page is."""
    url = f"http://127.0.0.1:{free_port()}"
    ticket = alert("PostgresSlotsHigh", "warning", job="pgconn")
    page = alert("PostgresClientPoolSaturated", job="pgconn")
    another = alert("PgBouncerClientSlotsHigh", job="pgconn")
    async with receivers() as inboxes, aiohttp.ClientSession() as session:
        document = completed(fragment(Options()), inboxes.url)
        document["route"]["routes"][0] |= WAITS
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(document))

        async def told(inbox: Inbox, *names: str) -> None:
            async def look() -> bool:
                return bool(inbox.notifications) and inbox.notifications[-1].names == set(names)

            await eventually(look)

        async with alertmanager(tmp_path, url):
            await post(session, url, [ticket])
            await told(inboxes.tickets, ticket["alertname"])
            await post(session, url, [page])
            await told(inboxes.tickets, page["alertname"])
            await post(session, url, [ticket], over=True)
            await post(session, url, [another])  # which shows that Alertmanager has gone on
            await told(inboxes.tickets, page["alertname"], another["alertname"])
            await post(session, url, [page, another], over=True)
            await told(inboxes.pager)
            await told(inboxes.tickets)
            assert not inboxes.tickets.open


def test_whoever_was_told_learns_that_it_is_over(outcome: Outcome) -> None:
    """Every page and every ticket is resolved in the end."""
    assert outcome.pages
    assert outcome.tickets
    assert outcome.unresolved == set()
