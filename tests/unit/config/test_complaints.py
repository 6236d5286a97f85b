"""What is told about a bad file: everything at once, with line, path and what to write."""

import pytest

from exporter.config import ConfigError, Problem
from tests.unit.config.helpers import TARGET, complaints, problems

BAD = """\
web: {listen_addres: x}
defaults:
  intervals: {activity: 1 sec, probe: 10, databases: 0s, statements: 10ms, settings: 1.5h}
  max_overhead: 1
  query_timeout: postgresql://u:hunter2@h/db
max_series: 5
targets:
- name: orders
  dsn: postgres://u:hunt er2@h/db
  kind: pgbouncr
  connection_labels: [usename, foo, [a]]
  password: hunter2
- name: orders
  dsn: ${FOO}
  kind: pgbouncer
  server: order
  statements: x
- foo
-
- {name: q, name: r, dsn: postgresql://, orphans: [a]}
- name: last
  dsn: service=last
clients:
- {name: other, match: {client_addr: [10.0.0.1/8, local, foo]}, idle_timeout: 0, pool_size: -1}
- {name: b, match: {}}
- {name: c, match: {usename: []}}
- {name: b}
"""
COMPLAINTS = """\
config.yaml:1: web.listen_addres: unknown key 'listen_addres'; did you mean 'listen_address'?
config.yaml:3: defaults.intervals.activity: '1 sec' is not a duration; write it like 30s, 5m or \
1h30m
config.yaml:3: defaults.intervals.probe: '10' has no unit; write 10s for seconds, or like 5m or \
1h30m
config.yaml:3: defaults.intervals.databases: must be longer than zero
config.yaml:3: defaults.intervals.statements: '10ms' is too short; the shortest is 100ms
config.yaml:3: defaults.intervals.settings: '1.5h' is not a duration, which takes whole numbers; \
write 1h30m
config.yaml:4: defaults.max_overhead: '1' has no percent sign; write 1%, or a ratio like 0.01
config.yaml:5: defaults.query_timeout: the value is not a duration; write it like 30s, 5m or 1h30m
config.yaml:6: max_series: unknown key 'max_series'; it belongs under 'defaults'
config.yaml:9: targets[0].dsn: has a space in its URI; write %20 for it
config.yaml:10: targets[0].kind: 'pgbouncr' is not valid here; did you mean 'pgbouncer'?
config.yaml:11: targets[0].connection_labels[1]: 'foo' is not valid here; write 'client_addr', \
'usename', 'application_name' or 'datname'
config.yaml:11: targets[0].connection_labels[2]: must be one of 'client_addr', 'usename', \
'application_name' or 'datname', not a list
config.yaml:12: targets[0].password: unknown key 'password'; did you mean 'password_file'?
config.yaml:13: targets[1].name: there is a target 'orders' already: targets[0]
config.yaml:14: targets[1].dsn: the environment variable FOO is not set
config.yaml:16: targets[1].server: 'order' is no postgresql target; name one that is
config.yaml:17: targets[1].statements: must be a group of keys, not one value
config.yaml:18: targets[2]: must be a group of keys, not one value
config.yaml:19: targets[3]: must be a group of keys, not nothing
config.yaml:20: targets[4].name: stands twice: in line 20 and in line 20
config.yaml:20: targets[4].orphans: must be a group of keys, not a list
config.yaml:24: clients[0].name: 'other' is a name that the metrics use themselves; choose another
config.yaml:24: clients[0].match.client_addr[0]: '10.0.0.1/8' is an address inside a network; \
write 10.0.0.0/8 for the network or 10.0.0.1 for the one host
config.yaml:24: clients[0].match.client_addr[2]: 'foo' is not a client address; write an address \
like 10.0.1.5, a network like 10.0.1.0/24, or local for the Unix socket
config.yaml:24: clients[0].idle_timeout: must be longer than zero; leave the key out if there is \
no limit
config.yaml:24: clients[0].pool_size: '-1' is not a whole number
config.yaml:25: clients[1].match: needs at least one of client_addr, application_name, usename
config.yaml:26: clients[2].match.usename: is an empty list, which no connection can match; leave \
the key out
config.yaml:27: clients[3].match: is missing
config.yaml:27: clients[3].name: there is a client 'b' already: clients[1]"""


def test_everything_at_once() -> None:
    """All that is wrong is told at once, in the file's order, none hiding another."""
    assert "\n".join(complaints(BAD)) == COMPLAINTS


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("targets: []", "targets: lists no server to watch; write at least one target"),
        ("targets: ''", "targets: must be a list, each item behind a '- ', not one value"),
        ("targets: {name: a}", "targets: must be a list, each item behind a '- ', not a group of"),
        ("targets:", "targets: is missing"),
        ("target: []", "target: unknown key 'target'; did you mean 'targets'?"),
        ("interval: 5s", "interval: unknown key 'interval'; valid are web, defaults, targets,"),
        ("dsn: hunter2", "dsn: unknown key 'dsn'; it belongs under 'targets'"),
        ("hunter 2: 5s", "?: unknown key that is no plain word; valid are web, defaults,"),
        ("web: {listen_address: 10432}", "web.listen_address: '10432' has no port; write host:"),
        ("web: {listen_address: [a]}", "web.listen_address: must be one value, not a list"),
    ],
)
def test_top(keys: str, complaint: str) -> None:
    """What is wrong at the top of the file is told in our words."""
    rest = "" if keys.startswith("targets") else TARGET
    assert complaints(keys + "\n" + rest)[0].removeprefix("config.yaml:1: ").startswith(complaint)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("name: ''", "name: must not be empty"),
        ("name: ' '", "name: must not be empty"),
        ('name: "a\\nb"', "name: must be printable text in one line"),
        ("name: [a]", "name: must be one value, not a list"),
        ("dsn: ''", "dsn: is empty; write postgresql://"),
        ("dsn: {password: hunter2}", "dsn: must be one value, not a group of keys"),
        ("dsn: hunter2", "dsn: is neither a postgresql:// URI nor key=value pairs"),
        ("kind: mysql", "kind: 'mysql' is not valid here; write 'postgresql' or 'pgbouncer'"),
        ("kind: x", "kind: 'x' is not valid here; write 'postgresql' or 'pgbouncer'"),
        ("password_file: ''", "password_file: must not be empty"),
        ("password_file: ..", "password_file: must be the path of a file"),
        ("probe: {}", "probe.dsn: is missing"),
        ("probe: service=x", "probe: must be a group of keys, not one value"),
        ("server: a", "server: stands only on a target of kind pgbouncer, for the PostgreSQL"),
        ("inteval: {}", "inteval: unknown key 'inteval'; did you mean 'intervals'?"),
        ("activity: 1s", "activity: unknown key 'activity'; it belongs under 'intervals'"),
        ("intervals: {zzz: 1s}", "intervals.zzz: unknown key 'zzz'; valid are activity, probe,"),
        ("intervals: {probe: 2d}", "intervals.probe: '2d' is too long; the longest is 1d"),
        ("intervals: {probe: [1s]}", "intervals.probe: must be one value, not a list"),
        ("query_timeout: 0s", "query_timeout: must be longer than zero"),
        ("query_timeout: 30d", "query_timeout: '30d' is too long; the longest is 1d"),
        ("peak_window: 0", "peak_window: must be longer than zero"),
        ("proc: yes", "proc: must be true or false, not 'yes'"),
        ("proc: [true]", "proc: must be one value, not a list"),
        ("orphans: {idle_after: 0ms}", "orphans.idle_after: must be longer than zero"),
        ("max_overhead: 0%", "max_overhead: '0%' must be above 0% and at most 100%"),
        ("max_overhead: 100.1%", "max_overhead: '100.1%' must be above 0% and at most 100%"),
        ("max_overhead: 1.01", "max_overhead: '1.01' must be above 0% and at most 100%"),
        ("max_series: 9", "max_series: '9' is out of range; write a number from 10 to 1000000"),
        ("max_series: many", "max_series: 'many' is not a whole number"),
        ("statements: {top: 0}", "statements.top: '0' is out of range; write a number from 1 to"),
        ("statements: {top: 1001}", "statements.top: '1001' is out of range; write a number from"),
        ("statements: {text_length: 10001}", "statements.text_length: '10001' is out of range"),
        ("connection_labels: [datname, datname]", "connection_labels: 'datname' stands twice"),
        ("connection_labels: datname", "connection_labels: must be a list, each item behind"),
        ("clients: [{name: a}]", "clients[0].match: is missing"),
    ],
)
def test_target(keys: str, complaint: str) -> None:
    """What is wrong on a target is told in our words, with its line."""
    given = {"name": "name: orders", "dsn": "dsn: service=orders"}
    given[keys.partition(":")[0]] = keys
    text = "targets:\n- {" + ",\n".join(given.values()) + "}\n"
    (problem,) = problems(text)
    path, _, start = complaint.partition(": ")
    assert problem.path == f"targets[0].{path}"
    assert problem.message.startswith(start)
    assert problem.line == 2 + list(given).index(keys.partition(":")[0])
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("name: pgconn-exporter", "name: 'pgconn-exporter' is a name that the metrics use"),
        ("name: prepared transaction", "name: 'prepared transaction' is a name that the metrics"),
        ("match: app", "match: must be a group of keys, not one value"),
        ("match: {client_addr: }", "match: needs at least one of client_addr, application_name,"),
        ("match: {usename: {a: b}}", "match.usename: must be a list, each item behind a '- ', not"),
        ("match: {usename: [~]}", "match.usename[0]: must be one value, not nothing"),
        ("match: {user: a}", "match.user: unknown key 'user'; did you mean 'usename'?"),
        ("request_timeout: 0s", "request_timeout: must be longer than zero; leave the key out"),
        ("request_timeout: 30", "request_timeout: '30' has no unit; write 30s"),
        ("pool_size: 0", "pool_size: '0' is out of range; write a number from 1 to 1000000"),
    ],
)
def test_client(keys: str, complaint: str) -> None:
    """What is wrong on a client is told in our words."""
    given = {"name": "name: api", "match": "match: {usename: app}"}
    given[keys.partition(":")[0]] = keys
    told = complaints(f"{TARGET}clients: [{{{', '.join(given.values())}}}]")
    assert told[0].startswith(f"config.yaml:2: clients[0].{complaint}")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("server: ordrs", "'ordrs' is no postgresql target; did you mean 'orders'?"),
        ("server: pool", "'pool' is no postgresql target; name one that is"),
    ],
)
def test_server_of_a_pgbouncer(second: str, words: str) -> None:
    """A PgBouncer's server is a PostgreSQL of this file."""
    text = f"""
    targets:
    - {{name: orders, dsn: service=a}}
    - {{name: pool, kind: pgbouncer, dsn: service=b, {second}}}
    """
    assert words in [problem.message for problem in problems(text)]


def test_client_names_within_one_list() -> None:
    """A list of clients names one once, on a target too."""
    client = "{name: api, match: {usename: app}}"
    text = f"targets: [{{name: a, dsn: service=a, clients: [{client}, {client}]}}]"
    (problem,) = problems(text)
    assert problem.path == "targets[0].clients[1].name"
    assert problem.message == "there is a client 'api' already: targets[0].clients[0]"


def test_very_many_problems() -> None:
    """Of very many problems the first are told, and that there are more."""
    told = complaints(TARGET + "clients:\n" + "- {nme: x}\n" * 1000)
    assert len(told) == 101
    assert told[0].startswith("config.yaml:3: clients[0]")
    assert told[-1] == "config.yaml: has more problems than these"


def test_problem_as_text() -> None:
    """A problem names its place as far as it is known."""
    assert str(Problem("c.yaml", 3, "web", "is bad")) == "c.yaml:3: web: is bad"
    assert str(Problem("c.yaml", 3, "", "is bad")) == "c.yaml:3: is bad"
    assert str(Problem("c.yaml", None, "", "is bad")) == "c.yaml: is bad"


def test_error_as_text() -> None:
    """An error is its problems, one a line."""
    problem = Problem("c.yaml", 3, "web", "is bad")
    assert str(ConfigError((problem, problem))) == "c.yaml:3: web: is bad\nc.yaml:3: web: is bad"


def test_error_has_no_pydantic_behind_it() -> None:
    """A traceback of the error would not lead to pydantic's, which knows the values."""
    with pytest.raises(ConfigError) as raised:
        raise_for("targets: [{name: a, dsn: hunter2}]")
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def raise_for(text: str) -> None:
    """Raise what a text raises."""
    error = ConfigError(problems(text))
    raise error
