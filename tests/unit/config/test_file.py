"""What a good file means: defaults, targets and clients, merged."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from exporter.config import (
    ClientGroup,
    Config,
    Intervals,
    Match,
    Orphans,
    Statements,
    Target,
    Web,
    load_config,
    parse_config,
)
from tests.unit.config.helpers import TARGET, parse, target


def test_smallest_file() -> None:
    """A name and a connection string are enough; the rest are the documented defaults."""
    expected = Target(
        name="orders",
        dsn=SecretStr("postgresql://db.internal/postgres"),
        kind="postgresql",
        password_file=None,
        probe=None,
        server=None,
        intervals=Intervals(
            activity=1, probe=15, databases=15, statements=30, settings=60, replication=30
        ),
        max_overhead=0.01,
        query_timeout=5,
        slow_query_after=5,
        peak_window=60,
        orphans=Orphans(idle_after=900, idle_in_transaction_after=60),
        statements=Statements(top=20, text_length=200),
        connection_labels=("client_addr", "usename", "application_name", "datname"),
        max_series=1000,
        clients=(),
    )
    assert parse(TARGET) == Config(web=Web(listen_address=":10432"), targets=(expected,))


def test_every_kind_of_value() -> None:
    """Durations become seconds, percentages ratios, one value a tuple of one."""
    resolved = target(
        "max_overhead: 2.5%, query_timeout: 1h30m, max_series: 10, connection_labels: []",
        "clients: [{name: api, match: {client_addr: 10.0.1.5, usename: [a, 'b*']},"
        " request_timeout: 500ms, idle_timeout: 1d, pool_size: 3}]",
    )
    assert resolved.max_overhead == 0.025
    assert resolved.query_timeout == 5400
    assert resolved.max_series == 10
    assert resolved.connection_labels == ()
    assert resolved.clients == (
        ClientGroup(
            name="api",
            match=Match(client_addr=(ip_network("10.0.1.5/32"),), usename=("a", "b*")),
            request_timeout=0.5,
            idle_timeout=86400,
            pool_size=3,
        ),
    )


def test_defaults_are_merged_key_by_key() -> None:
    """A target's own key wins, and leaves its neighbours to the defaults."""
    resolved = target(
        "intervals: {probe: 1m}, statements: {top: 5}, slow_query_after: 1s",
        "defaults: {intervals: {activity: 2s, probe: 2s}, statements: {text_length: 9},"
        " orphans: {idle_after: 1m}, slow_query_after: 2s, max_series: 50}",
    )
    assert resolved.intervals == Intervals(activity=2, probe=60)
    assert resolved.statements == Statements(top=5, text_length=9)
    assert resolved.orphans == Orphans(idle_after=60)
    assert (resolved.slow_query_after, resolved.max_series) == (1, 50)


def test_writing_the_default_wins() -> None:
    """A target may go back to the program's default, against the file's."""
    assert target("max_series: 1000", "defaults: {max_series: 50}").max_series == 1000


def test_defaults_of_one_target_do_not_reach_another() -> None:
    """What stands on one target is for that one."""
    config = parse(
        "targets:\n"
        "- {name: a, dsn: 'service=a', intervals: {probe: 1m}}\n"
        "- {name: b, dsn: 'service=b'}\n"
    )
    assert [target.intervals.probe for target in config.targets] == [60, 15]


def test_clients_of_a_target_come_first() -> None:
    """The first match wins, so a target's own clients stand before those of the file."""
    resolved = target(
        "clients: [{name: jobs, match: {usename: jobs}}]",
        "clients: [{name: api, match: {usename: app}}, {name: web, match: {usename: web}}]",
    )
    assert [client.name for client in resolved.clients] == ["jobs", "api", "web"]


def test_client_of_a_target_replaces() -> None:
    """A target's own client stands for the file's of the same name, which it replaces whole."""
    resolved = target(
        "clients: [{name: api, match: {usename: own}}]",
        "clients: [{name: api, match: {usename: app}, pool_size: 3}]",
    )
    assert resolved.clients == (ClientGroup(name="api", match=Match(usename=("own",))),)


def test_keys_without_value() -> None:
    """A key whose values are all commented out is as if it were not written."""
    text = "web:\ndefaults:\n  intervals:\nclients:\n" + TARGET
    assert parse(text) == parse(TARGET)


def test_local_and_empty_conditions() -> None:
    """`local` is the Unix socket; an empty application name can be matched."""
    resolved = target("", "clients: [{name: a, match: {client_addr: local, application_name: ''}}]")
    assert resolved.clients[0].match == Match(client_addr=("local",), application_name=("",))


def test_labels_are_in_the_order_of_the_contract() -> None:
    """However the labels are written, they come in one order."""
    resolved = target("connection_labels: [datname, client_addr]")
    assert resolved.connection_labels == ("client_addr", "datname")


def test_password_files_stand_beside_the_file() -> None:
    """Relative paths start at the file's folder, as in Prometheus; absolute ones stay."""
    text = (
        "targets: [{name: a, dsn: 'service=a', password_file: a.txt,"
        " probe: {dsn: 'service=b', password_file: /run/b.txt}}]"
    )
    resolved = parse_config(text, "conf/config.yaml", {}).targets[0]
    assert resolved.password_file == Path("conf/a.txt")
    assert resolved.probe is not None
    assert resolved.probe.password_file == Path("/run/b.txt")


def test_equal_targets_are_equal() -> None:
    """A reload sees what changed by comparing, and writing a default changes nothing."""
    written = target("max_series: 1000, intervals: {probe: 15s}", "defaults: {peak_window: 1m}")
    assert written == target("")
    assert hash(written) == hash(target(""))
    assert written != target("max_series: 999")


def test_secrets_are_compared() -> None:
    """Another password is another target."""
    first, second = (
        parse("targets: [{name: a, dsn: '${D}'}]", D=f"postgresql://u:{password}@h/")
        for password in ("one", "two")
    )
    assert first != second


def test_frozen() -> None:
    """Nobody changes a configuration."""
    with pytest.raises(ValidationError, match="frozen"):
        parse(TARGET).targets[0].name = "other"  # type: ignore[misc]


def test_secrets_stay_inside() -> None:
    """A password is in no representation of the configuration."""
    text = "targets: [{name: a, dsn: '${D}', probe: {dsn: '${D}'}}]"
    config = parse(text, D="postgresql://u:hunter2@h/")
    assert config.targets[0].dsn.get_secret_value() == "postgresql://u:hunter2@h/"
    for shown in (repr(config), str(config), config.model_dump_json()):
        assert "hunter2" not in shown


def test_python_errors_hold_no_secret() -> None:
    """A target made in Python keeps its connection string out of the error too."""
    with pytest.raises(ValidationError) as raised:
        Target(name="a", dsn=SecretStr("postgresql://u:hunter2@h/?x=y"))
    assert "hunter2" not in str(raised.value)


def test_values_are_written_as_read() -> None:
    """As JSON, durations and shares stand as they do in the file."""
    dumped = parse(TARGET).targets[0].model_dump(mode="json")
    assert (dumped["query_timeout"], dumped["max_overhead"]) == ("5s", "1%")


@pytest.mark.parametrize(
    ("address", "host", "port"), [(":10432", "", 10432), ("[::1]:0", "::1", 0)]
)
def test_listen_address(address: str, host: str, port: int) -> None:
    """The address to listen on knows its parts."""
    web = parse(f"{TARGET}web: {{listen_address: '{address}'}}").web
    assert (web.listen_address, web.host, web.port) == (address, host, port)


def test_load(tmp_path: Path) -> None:
    """A file on disk is read as its text is."""
    path = tmp_path / "config.yaml"
    path.write_text(TARGET + "# ünïcode\n", encoding="utf-8")
    assert load_config(path, {}) == parse(TARGET)


@pytest.mark.parametrize(
    ("keys", "flag"),
    [
        ("", False),
        ("proc: false", False),
        ("proc: true", True),
        ("proc: True", True),
        ("proc: '${PROC}'", True),
        ("proc:", False),
    ],
)
def test_flag(keys: str, *, flag: bool) -> None:
    """True and false are written as in YAML 1.2, or come from the environment."""
    assert target(keys, PROC="true").proc is flag
