"""What the tests of the rules find wrong with an expression, each trap of which really is one."""

import pytest

from tests.unit.alerts.promql import TrapError, labels_of, metrics_of, selectors_of, selects

USED, USABLE = 'pgconn_slots_used{job="x"}', 'pgconn_slots_usable{job="x"}'
HELD, OPENED = 'pgconn_client_connections{job="x"}', 'pgconn_connections_opened_total{job="x"}'
INFO, POOL = 'pgconn_pgbouncer_info{job="x"}', 'pgconn_pgbouncer_pool_size{job="x"}'
ON = "on (job, instance, target)"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("pgconn_up == 0", "pgconn_up is taken from any job"),
        ('pgconn_ups{job="x"}', "no metric pgconn_ups"),
        ('pgconn_probe_duration_seconds{job="x"}', "no metric pgconn_probe_duration_seconds"),
        ('pgconn_up{job="x", client="api"}', "client is no label of"),
        (f"sum by (client) ({USED})", "client is no label of"),
        (f"sum without (client) ({USED})", "client is no label of"),
        (f"{HELD} / {ON} ({USABLE} > 0)", "may be several series, by client"),
        (f"{USED} > {ON} {HELD}", "may be several series, by client"),
        (f"{HELD} > {USED}", "client is on one side only"),
        (f"{HELD} and {USED}", "client is on one side only"),
        (f"{HELD} unless on (datname) {USED}", "datname is no label of"),
        (f"{HELD} > ignoring (target) {USED}", "client is on one side only"),
        (f"{POOL} * {ON} group_left (client) {INFO}", "client is no label of"),
        (f"{HELD} * {ON} group_left () {POOL}", "may be several series, by database, user"),
        (f"{USED} / {USABLE}", "which may be 0"),
        (f"{USED} / {ON} ({USABLE} > bool 0)", "which may be 0"),
        (f"{USED} / {ON} ({USABLE} >= 0)", "which may be 0"),
        (f"{USED} % {USABLE}", "which may be 0"),
        (f"{USED} / 0", "which may be 0"),
        ('rate(pgconn_slots_used{job="x"}[5m]) > 0', "which is no counter"),
        ('increase(up{job="x"}[5m]) > 0', "which is no counter"),
        ('predict_linear(pgconn_connections_opened_total{job="x"}[5m], 60)', "which is a counter"),
        (f"rate((sum by (job) ({OPENED}))[5m:15s])", "in which a restart cannot be told"),
        ('label_replace(up{job="x"}, "a", "$1", "target", "(.*)")', "target is no label of"),
        ('label_join(up{job="x"}, "a", ":", "job", "target")', "target is no label of"),
        (f"{USED} / {ON} clamp_min({USABLE}, 0)", "which may be 0"),
        ('pgconn_up{job!="x"} == 0', "pgconn_up is taken from any job"),
        ("1 + 1", "is a number"),
    ],
)
def test_traps(expression: str, message: str) -> None:
    """Each known trap is told."""
    with pytest.raises(TrapError, match=message.replace("(", r"\(")):
        labels_of(expression)


@pytest.mark.parametrize(
    ("expression", "labels", "key"),
    [
        ('up{job="x"} == 0', "instance job", "instance"),
        ('absent(up{job="x"})', "job", ""),
        (f"{USED} / {ON} ({USABLE} > 0) > 0.9", "instance job target", "instance target"),
        (
            f"{HELD} / {ON} group_left () ({USABLE} > 0)",
            "client instance job target",
            "client instance target",
        ),
        (
            f"topk by (target) (1, {HELD})",
            "client instance job target",
            "target",
        ),
        (
            f"{POOL} * {ON} group_left (server) {INFO}",
            "database instance job server target user",
            "database instance target user",
        ),
        (
            f"{POOL} * {ON} group_left (server) max by (job, instance, target, server) ({INFO})",
            "database instance job server target user",
            "database instance target user",
        ),
        (
            f"{USED} / {ON} max by (job, instance, target) ({USABLE} >= 3)",
            "instance job target",
            None,
        ),
        (
            f'{USED} / {ON} label_replace({USABLE} > 0, "server", "$1", "target", "(.+)")',
            "instance job target",
            None,
        ),
        (f"{USED} and {ON} ({HELD} > 5)", "instance job target", "instance target"),
        (f"{HELD} or {ON} {USED}", "client instance job target", "client instance target"),
        (f"sum by (job, client) (increase({OPENED}[2m]))", "client job", "client job"),
        (f"{OPENED} unless {OPENED} offset 2m", "client instance job target", None),
        ('label_join(up{job="x"}, "at", ":", "job", "instance")', "at instance job", "instance"),
        (f"{USED} / {ON} clamp_min({USABLE}, 1)", "instance job target", None),
        ('min(pgconn_up{job=~"$job"}) by (job)', "job", "job"),
        ('pgconn_up{job=~"$job"} == 0', "instance job target", "instance job target"),
        ('label_replace(up{job="x"}, "at", "$1", "instance", "(.*)")', "at instance job", None),
    ],
)
def test_labels(expression: str, labels: str, key: str | None) -> None:
    """What works has its labels, and what tells its series apart."""
    found = labels_of(expression)
    assert " ".join(sorted(found.names)) == labels
    assert key is None or " ".join(sorted(found.key)) == key


def test_metrics() -> None:
    """The series that an expression reads are found wherever they stand."""
    assert metrics_of(f"sum(rate({OPENED}[5m])) > 0 unless {USED} offset 1h") == {
        "pgconn_connections_opened_total",
        "pgconn_slots_used",
    }


@pytest.mark.parametrize(
    "matchers",
    ['client="api"', 'client!="web"', 'client=~"a|api"', 'client!~"a"', 'datname=""'],
)
def test_selected(matchers: str) -> None:
    """A series is read as Prometheus would, under its own name only."""
    (selector,) = selectors_of(f"pgconn_client_connections{{{matchers}}}")
    assert selects(selector, "pgconn_client_connections", {"job": "x", "client": "api"})
    assert not selects(selector, "pgconn_connections_peak", {"job": "x", "client": "api"})


@pytest.mark.parametrize(
    "matchers",
    ['client="web"', 'client!="api"', 'client=~"a"', 'client!~"a.*"', 'client="api", job="y"'],
)
def test_not_selected(matchers: str) -> None:
    """A series of that name with other labels is not."""
    (selector,) = selectors_of(f"pgconn_client_connections{{{matchers}}}")
    assert not selects(selector, "pgconn_client_connections", {"job": "x", "client": "api"})
