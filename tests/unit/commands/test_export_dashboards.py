"""`export dashboards`: the files of each form, with a user's own values, and bad calls."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from typer.testing import CliRunner

from exporter.alerts.model import Dashboard
from exporter.cli import app
from exporter.commands.dashboards import PATH

RUNNER: Final = CliRunner()
UIDS: Final = {str(each) for each in Dashboard}
OWN: Final = (
    *("--threshold", "slots_critical=97.5%"),
    *("--runbook-url", "https://wiki.example.com/runbooks/"),
)


def ended(*arguments: str) -> tuple[int, str, str]:
    """Run the command, and give its status, and what it said to whom."""
    result = RUNNER.invoke(app, ("export", "dashboards", *arguments))
    return result.exit_code, result.stdout, result.stderr


def printed(*arguments: str) -> str:
    """Give what the command prints."""
    status, out, err = ended(*arguments)
    assert (status, err) == (0, "")
    return out


def steps(dashboard: dict[str, Any]) -> set[float]:
    """Give the values of all thresholds of the panels."""
    return {
        step["value"]
        for panel in dashboard["panels"]
        for step in panel.get("fieldConfig", {})
        .get("defaults", {})
        .get("thresholds", {"steps": []})["steps"]
        if step.get("value") is not None
    }


def test_provisioning(tmp_path: Path) -> None:
    """Grafana finds the dashboards where its provider says that they are."""
    status, out, err = ended(
        "--to", str(tmp_path), "--path", "/srv/pg", "--datasource-url", "http://p"
    )
    assert (status, out, err) == (0, "", f"wrote 8 files into {tmp_path}\n")
    found = {json.loads(file.read_text())["uid"] for file in tmp_path.glob("dashboards/*.json")}
    assert found == UIDS
    [provider] = tmp_path.glob("provisioning/dashboards/*.yaml")
    [entry] = yaml.safe_load(provider.read_text())["providers"]
    assert entry["options"] == {"path": "/srv/pg"}
    [source] = tmp_path.glob("provisioning/datasources/*.yaml")
    [entry] = yaml.safe_load(source.read_text())["datasources"]
    assert (entry["type"], entry["url"]) == ("prometheus", "http://p")


def test_written_twice(tmp_path: Path) -> None:
    """A later run writes the same files anew, and touches no others."""
    other = tmp_path / "dashboards" / "mine.json"
    other.parent.mkdir()
    other.write_text("{}")
    assert ended("--to", str(tmp_path))[0] == 0
    before = (tmp_path / "dashboards" / "pgconn-incident.json").read_text()
    assert ended("--to", str(tmp_path), *OWN)[0] == 0
    assert (tmp_path / "dashboards" / "pgconn-incident.json").read_text() != before
    assert other.read_text() == "{}"


def test_config_maps(tmp_path: Path) -> None:
    """Each dashboard is a ConfigMap that Grafana's sidecar finds, printed or as a file."""
    maps = list(yaml.safe_load_all(printed("--as", "configmaps")))
    assert {json.loads(*each["data"].values())["uid"] for each in maps} == UIDS
    for each in maps:
        assert each["metadata"]["labels"] == {"grafana_dashboard": "1"}
        assert len(json.dumps(each)) < 1 << 20  # what Kubernetes takes
    own = printed("--as", "configmaps", "--only", "load", "--metadata-label", "team/show=yes")
    assert yaml.safe_load(own)["metadata"]["labels"] == {"team/show": "yes"}
    assert ended("--as", "configmaps", "--to", str(tmp_path))[0] == 0
    files = {yaml.safe_load(file.read_text())["metadata"]["name"] for file in tmp_path.iterdir()}
    assert files == {f"grafana-{uid}" for uid in UIDS}


def test_import(tmp_path: Path) -> None:
    """What is imported tells which plugins it needs, and has no id of another Grafana."""
    assert ended("--as", "import", "--to", str(tmp_path))[0] == 0
    assert {file.stem for file in tmp_path.iterdir()} == UIDS
    for file in tmp_path.iterdir():
        document = json.loads(file.read_text())
        needed = {each["id"] for each in document["__requires"] if each["type"] == "panel"}
        assert needed == {panel["type"] for panel in document["panels"]} - {"row"}
        assert document["id"] is None


def test_own_values() -> None:
    """A threshold is another in colours and in queries, as in the alerts, and in no text left."""
    plain, own = (json.loads(printed("--only", "incident", *flags)) for flags in ((), OWN))
    assert 0.9 in steps(plain)
    assert 0.975 in steps(own)
    assert 0.9 not in steps(own)
    text = json.dumps(own)
    assert "@{" not in text
    assert "https://wiki.example.com/runbooks/${__data.fields.alertname" in text
    assert "runbooks.example.com" not in text


def test_into_a_file(tmp_path: Path) -> None:
    """A folder that is none is told by its name."""
    file = tmp_path / "file"
    file.touch()
    status, out, err = ended("--to", str(file))
    assert (status, out) == (2, "")
    assert err.startswith(f"--to {file}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--as provisioning makes several files: give a folder with --to, or --only NAME"),
        (("--as", "import"), "--as import makes several files: give a folder with --to"),
        (("--only", "slots"), "--only: there is no 'slots'; there are: incident, connections,"),
        (("--only", "load", "--to", "x"), "--only prints one dashboard, --to writes all"),
        (("--only", "load", "--threshold", "a=1"), "--threshold: there is no 'a'"),
        (("--only", "load", "--runbook-url", "wiki"), "--runbook-url: 'wiki' is no URL"),
        (
            ("--only", "load", "--path", "here"),
            f"--path: 'here' is no absolute path, such as {PATH}",
        ),
        (("--only", "load", "--datasource-url", "a b"), "--datasource-url: 'a b' is no URL"),
        (("--only", "load", "--metadata-label", "a=b"), "--metadata-label: only ConfigMaps have"),
    ],
)
def test_bad_calls(arguments: tuple[str, ...], message: str) -> None:
    """What cannot be is one sentence that names the flag, with status 2, and nothing is printed."""
    status, out, err = ended(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
