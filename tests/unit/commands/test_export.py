"""`export`: what a user may write behind its flags, and what is said of what cannot be."""

import re
import shlex
from collections.abc import Callable, Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from exporter.alerts.errors import AlertError
from exporter.alerts.model import OWN_LABELS
from exporter.cli import app
from exporter.commands.export import alert_labels, job_name, metadata_labels, url
from tests.unit.test_docs import TEXTS

RUNNER = CliRunner()
ALERTS = ("export", "alerts")


def ended(*arguments: str) -> tuple[int, str, str]:
    """Run a command, and give its status, and what it said to whom."""
    result = RUNNER.invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threshold", "slots_hihg=75%"), "--threshold: there is no 'slots_hihg'; did you mean"),
        (("--threshold", "slots_high=120%"), "--threshold: slots_high: '120%' is not above 0%"),
        (("--threshold", "slots_high=95%"), "--threshold: slots_high has to be below slots_cr"),
        (("--label", "team"), "--label: 'team' is not NAME=VALUE, such as team=payments"),
        (("--label", "my-team=a"), "--label: 'my-team' is no label of Prometheus, such as team"),
        (("--label", "__team=a"), "--label: '__team' is no label of Prometheus, such as team"),
        (("--label", "severity=info"), "--label: the alerts have severity already"),
        (("--label", "team="), "--label: team needs a value in one line, which is no template"),
        (("--label", "team=a\nb"), "--label: team needs a value in one line"),
        (("--label", "team={{ $value }}"), "--label: team needs a value in one line"),
        (("--label", "a=1", "--label", "a=2"), "--label: a is given twice"),
        (("--job", ""), "--job: '' is no name of a scrape job that needs no quoting"),
        (("--job", 'a"b'), "--job: 'a\"b' is no name of a scrape job"),
        (("--runbook-url", "wiki"), "--runbook-url: 'wiki' is no URL to put a path behind"),
        (("--dashboard-url", "https://g/?orgId=1"), "--dashboard-url: 'https://g/?orgId=1' is no"),
        (("--metadata-label", "a=b"), "--metadata-label: only a PrometheusRule has any: --as prom"),
        (("--metadata-label", "a_/b=c"), "--metadata-label: 'a_/b' is no label of Kubernetes"),
        (("--metadata-label", "a=b c"), "--metadata-label: 'b c' is no value that Kubernetes"),
    ],
)
def test_bad_calls(arguments: tuple[str, ...], message: str) -> None:
    """What cannot be is one sentence that names the flag, with status 2, and nothing is printed."""
    status, out, err = ended(*ALERTS, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("--as", "json"), ("--nonsense",), ("alerts",)])
def test_what_typer_refuses(arguments: tuple[str, ...]) -> None:
    """A form that there is not, a flag that there is not, and words that nobody reads: status 2."""
    status, out, err = ended(*ALERTS, *arguments)
    assert (status, out) == (2, "")
    assert arguments[-1] in err


@pytest.mark.parametrize("command", [ALERTS, ("export", "alertmanager"), ("export",)])
def test_help(command: tuple[str, ...]) -> None:
    """Each command has help, those that print something with an example."""
    status, out, _ = ended(*command, "--help")
    assert status == 0
    assert ("Example: pgconn-exporter " + " ".join(command) in out) == (len(command) > 1)


def test_everything_at_once() -> None:
    """Each flag's value is in its place, in the rules as in a PrometheusRule."""
    arguments = (
        *("--job", "pg"),
        *("--threshold", "slots_critical=95%", "--threshold", "lock_wait=2m"),
        *("--runbook-url", "https://wiki.example.com/r", "--dashboard-url", "http://g:3000"),
        *("--label", "team=payments", "--label", "env=prod=eu"),
    )
    status, out, err = ended(*ALERTS, *arguments)
    assert (status, err) == (0, "")
    rules = {
        rule["alert"]: rule for group in yaml.safe_load(out)["groups"] for rule in group["rules"]
    }
    full, waits = rules["PostgresSlotsCritical"], rules["PostgresLockWaitLong"]
    assert re.search(r"> 0.95$", full["expr"])
    assert re.search(r"> 120$", waits["expr"])
    assert 'pgconn_slots_used{job="pg"}' in full["expr"]
    assert (
        full["annotations"]["runbook_url"] == "https://wiki.example.com/r/PostgresSlotsCritical.md"
    )
    assert full["annotations"]["dashboard_url"].startswith("http://g:3000/d/")
    assert full["labels"].items() >= {"team": "payments", "env": "prod=eu"}.items()

    operators = ("--as", "prometheus-rule", "--metadata-label", "app.kubernetes.io/part-of=mon")
    status, selected, err = ended(*ALERTS, *arguments, *operators)
    assert (status, err) == (0, "")
    document = yaml.safe_load(selected)
    assert document["spec"] == yaml.safe_load(out)
    assert document["metadata"]["labels"] == {"app.kubernetes.io/part-of": "mon"}


def shown() -> Iterator[tuple[str, ...]]:
    """Yield the arguments of each call that a document shows."""
    for text in TEXTS.values():
        joined = re.sub(r"\\\n *", "", text)
        for call in re.findall(r"pgconn-exporter (export a[^|>`\n]+)", joined):
            yield tuple(shlex.split(call, comments=True))


@pytest.mark.parametrize("arguments", sorted(set(shown())), ids=" ".join)
def test_what_documents_show(arguments: tuple[str, ...]) -> None:
    """Every call of the documents can be made as it stands there."""
    status, out, err = ended(*arguments)
    assert (status, err) == (0, "")
    assert out


def test_alertmanager() -> None:
    """The fragment selects the job's alerts."""
    status, out, err = ended("export", "alertmanager", "--job", "pg")
    assert (status, err) == (0, "")
    (route,) = yaml.safe_load(out)["route"]["routes"]
    assert 'job="pg"' in route["matchers"]
    assert ended("export", "alertmanager", "--job", "{")[0] == 2


@pytest.mark.parametrize("name", sorted(OWN_LABELS))
def test_own_labels(name: str) -> None:
    """No label of a user's takes the place of one that tells alerts apart."""
    with pytest.raises(AlertError, match=f"the alerts have {name} already, and it tells"):
        alert_labels([f"{name}=mine"])


@pytest.mark.parametrize(
    "address",
    [
        "https://grafana.example.com",
        "https://grafana.example.com/",
        "http://localhost:3000/grafana",
        "http://my_grafana:3000",
        "http://[::1]:3000/d",
        "https://github.com/a/b/blob/main/docs/runbooks",
        "https://example.com/a%20b/~me/(x)",
    ],
)
def test_good_urls(address: str) -> None:
    """An address below which pages are is taken as it is."""
    assert url(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "grafana.example.com",
        "ftp://example.com",
        "https://",
        "https:///path",
        "http://[::1",
        "http://host:port",
        "http://host:0",
        "http://host:99999",
        "https://example.com/a b",
        "https://example.com/?a=b",
        "https://example.com/#top",
        "https://example.com/{{ $labels.job }}",
        'https://example.com/"',
        "https://exämple.com/",
        "https://example.com/\n",
        "javascript:alert(1)",
    ],
)
def test_bad_urls(address: str) -> None:
    """What is no such address is told as it was written."""
    with pytest.raises(AlertError, match="is no URL to put a path behind"):
        url(address)


def test_a_url_with_a_password() -> None:
    """A password would stand in every alert, and stands not even in the message."""
    with pytest.raises(AlertError, match="no user and no password") as raised:
        url("https://admin:hunter2@grafana.example.com")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "setting",
    [
        "release=prometheus",
        "app.kubernetes.io/name=pgconn-exporter",
        "team=",
        "a.b-c_d=E.f-G_1",
        "x" * 63 + "=" + "y" * 63,
        "d" * 253 + "/x=1",
    ],
)
def test_labels_of_kubernetes(setting: str) -> None:
    """What Kubernetes takes for a label is taken."""
    name, _, value = setting.partition("=")
    assert metadata_labels([setting]) == {name: value}


@pytest.mark.parametrize(
    "setting",
    [
        "x" * 64 + "=1",
        "x=" + "y" * 64,
        "d" * 254 + "/x=1",
        "-a=1",
        "a-=1",
        "/a=1",
        "a/=1",
        "a/b/c=1",
        "A.example/b=1",
        "a..b/c=1",
        "=1",
        "a=-",
        "a=b\n",
        "ä=1",
    ],
)
def test_no_labels_of_kubernetes(setting: str) -> None:
    """What it would refuse is refused."""
    with pytest.raises(AlertError, match="Kubernetes"):
        metadata_labels([setting])


@pytest.mark.parametrize("read", [url, job_name, lambda text: alert_labels([text])])
@given(text=st.text(max_size=30))
def test_any_text(read: Callable[[str], object], text: str) -> None:
    """Whatever somebody writes is taken or refused, and what is taken cannot break out."""
    try:
        taken = read(text)
    except AlertError:
        return
    assert "{{" not in str(taken)
    assert "\n" not in str(taken)
