"""YAML with lines, aliases and merge keys, and what is no YAML."""

from pathlib import Path

import pytest

from exporter.config import ConfigError, load_config
from exporter.config.document import UnreadableError, read_document
from tests.unit.config.helpers import TARGET, complaints, parse, target


def refusal(text: str) -> str:
    """Return why a text cannot be read, behind its line."""
    with pytest.raises(UnreadableError) as raised:
        read_document(text, {})
    return f"{raised.value.line}: {raised.value}"


def test_scalars_stay_text() -> None:
    """What YAML takes for a number, a truth, a time or an octal stays as it is written."""
    document = read_document("[no, 1:30, 012, 1e3, 2020-01-01, 0.10, =, '', <<]", {})
    assert document.data == ["no", "1:30", "012", "1e3", "2020-01-01", "0.10", "=", "", "<<"]


@pytest.mark.parametrize("text", ["[~]", "[null]", "[!!null x]", "- # nothing"])
def test_null(text: str) -> None:
    """Nothing is nothing, not a text."""
    assert read_document(text, {}).data == [None]


def test_lines() -> None:
    """Each path has the line of its key, or of its item in a list."""
    document = read_document("a:\n  b:\n    - 1\n    -\n      c: |\n        text\n", {})
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 3,
        ("a", "b", 1): 5,
        ("a", "b", 1, "c"): 5,
    }


def test_line_of_a_missing_path() -> None:
    """A path that is not there has the line of what would hold it."""
    document = read_document("\na:\n  b: 1\n", {})
    assert document.line_of(("a", "x", 5)) == 2
    assert document.line_of(("x",)) == 2
    assert read_document("", {}).line_of(("x",)) is None


def test_aliases_and_merge_keys() -> None:
    """Groups of keys may be shared: a mapping's own keys win, then the first merged."""
    text = """
    one: &one {a: 1, b: 1}
    two: &two {<<: *one, b: 2, c: 2}
    own: {a: 3, <<: *one}
    list: {<<: [*two, {c: 4, d: 4}]}
    same: *one
    """
    data = read_document(text, {}).data
    assert isinstance(data, dict)
    assert data["two"] == {"a": "1", "b": "2", "c": "2"}
    assert data["own"] == {"a": "3", "b": "1"}
    assert data["list"] == {"a": "1", "b": "2", "c": "2", "d": "4"}
    assert data["same"] == {"a": "1", "b": "1"}


def test_merged_mistake_has_its_own_line() -> None:
    """What is wrong in a shared group is told where it stands."""
    text = f"{TARGET}defaults:\n  <<: &shared\n    max_series: 1\nweb: {{}}\n"
    assert complaints(text) == [
        "config.yaml:4: defaults.max_series: '1' is out of range; write a number from 10 to 1000000"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: [", "2: is not valid YAML in column 5: a value cannot start with this"),
        ("a: 1\n\tb: 2", "2: is not valid YAML in column 1: a tab cannot indent; use spaces"),
        ("a: 1\nhunter2\nc: 1", "2: is not valid YAML in column 1: there is no ': ' behind the"),
        ("a:\n  dsn hunter2\n  b: 1", "3: is not valid YAML in column 4: check the indentation"),
        ("a: 1\n   b: 2", "2: is not valid YAML in column 5: check the indentation"),
        ("a: 'hunter2", "1: is not valid YAML in column 12: a quote is not closed"),
        ("a: {b: hunter2", "1: is not valid YAML in column 15: a bracket or comma is missing"),
        ("a: @hunter2", "1: is not valid YAML in column 4: a value cannot start with this"),
        ("a: *hunter2", "1: is not valid YAML in column 4: there is no anchor"),
        ("a: &hunter2 1\nb: &hunter2 2", "2: is not valid YAML in column 4: an anchor (&name)"),
        ("a: !hunter2!x 1", "1: is not valid YAML in column 4: this tag is not known"),
        ('a: "\\hunter2"', "1: is not valid YAML in column 6: a backslash escapes in double"),
        ("a: 1\n---\nb: 2", "2: is not valid YAML in column 1: there is more than one document"),
        ("a:\n - 1\n b: 2", "3: is not valid YAML in column 2: this does not fit to the lines"),
        ('a: "\\UFFFFFFFF"', "None: is not valid YAML: a number is out of range"),
        ("a: 1\nb: \0", "2: holds a character that YAML does not allow"),
        ("a: \ud800", "1: holds a character that YAML does not allow"),
        ("\n" + "[" * 100_000, "2: is nested too deeply"),
        ("a: " * 100_000, "1: is not valid YAML in column 5: check the indentation"),
        ("&a [*a]", "1: holds an alias that refers to itself"),
        ("a: &a\n  b: *a", "1: holds an alias that refers to itself"),
        ("a: &a\n  <<: *a", "1: holds an alias that refers to itself"),
    ],
)
def test_no_yaml(text: str, words: str) -> None:
    """What cannot be parsed is told with line and column, without a word of the file."""
    message = refusal(text)
    assert words in message
    assert "hunter2" not in message


def test_laughs() -> None:
    """Aliases may not multiply a small file into a huge one, as values or as merged keys."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert refusal("\n".join(["l0: &l0 [x]", *levels])).startswith("None: holds more than")
    merges = [f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 9)}]}}" for n in range(1, 10)]
    assert refusal("\n".join(["l0: &l0 {x: y}", *merges])).startswith("None: holds more than")


def test_long_chain_of_aliases() -> None:
    """Aliases may not nest what the text does not."""
    levels = [f"l{n}: &l{n} [*l{n - 1}]" for n in range(1, 100)]
    assert "is nested too deeply" in refusal("\n".join(["l0: &l0 [x]", *levels]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("web: {}\nweb: {}\n", "config.yaml:3: web: stands twice: in line 2 and in line 3"),
        ("? [a]\n: b\n", "config.yaml:2: has a key that is not a plain text"),
        ("<<: 5\n", "config.yaml:2: has a '<<' that does not name a group of keys"),
        ("web: !x {}\n", "config.yaml:2: web: has a YAML tag (!) that is not known here"),
        ('web: {listen_address: "\\0"}\n', "config.yaml:2: web.listen_address: holds a NUL or a"),
        (
            "defaults: {max_overhead: !!python/none 1}\n",
            "config.yaml:2: defaults.max_overhead: has",
        ),
    ],
)
def test_one_complaint(text: str, words: str) -> None:
    """What YAML allows and we do not is told once."""
    (complaint,) = complaints(TARGET + text)
    assert complaint.startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "config.yaml: is empty; it needs at least 'targets', the servers to watch"),
        ("# nothing\n", "config.yaml: is empty; it needs at least 'targets', the servers to watch"),
        ("~", "config.yaml:1: is empty; it needs at least 'targets', the servers to watch"),
        ("\n- a\n", "config.yaml:2: must be keys such as 'targets', not a list"),
        ("hunter2", "config.yaml:1: must be keys such as 'targets', not one value"),
        ("{}", "config.yaml:1: targets: is missing"),
        ("${NO}", "config.yaml:1: the environment variable NO is not set"),
    ],
)
def test_no_keys(text: str, words: str) -> None:
    """A file without keys is told what it needs."""
    assert complaints(text) == [words]


def test_variables() -> None:
    """Variables stand in any value: numbers, parts of texts, items; never in keys or comments."""
    resolved = target(
        'max_series: "${N}", statements: {top: "${N}"}, query_timeout: "${N}s"',
        "clients: [{name: 'a$${N}', match: {usename: ['${X}', '$N']}}]  # ${NO}",
        N="20",
        X="a: b, {",
    )
    assert (resolved.max_series, resolved.statements.top, resolved.query_timeout) == (20, 20, 20)
    assert resolved.clients[0].name == "a${N}"
    assert resolved.clients[0].match.usename == ("a: b, {", "$N")


@pytest.mark.parametrize("value", ["${}", "${A-B}", "${A:-default}", "${A", "x${ A }"])
def test_no_variable(value: str) -> None:
    """What looks like a variable and is none is not passed on as text."""
    (complaint,) = complaints(f"{TARGET}web:\n  listen_address: '{value}'", A="hunter2")
    assert complaint.startswith("config.yaml:3: web.listen_address: has a '${' without")


def test_missing_variable_is_told_once() -> None:
    """A missing variable is told with its line, and nothing else about its value."""
    text = "targets:\n- name: ${A}\n  dsn: ${B}\n- name: ${A}\n  dsn: ${B}\n"
    assert complaints(text) == [
        "config.yaml:2: targets[0].name: the environment variable A is not set",
        "config.yaml:3: targets[0].dsn: the environment variable B is not set",
        "config.yaml:4: targets[1].name: the environment variable A is not set",
        "config.yaml:5: targets[1].dsn: the environment variable B is not set",
    ]


def test_environment_is_not_quoted() -> None:
    """A bad value from the environment is quoted as the variable it came from."""
    (complaint,) = complaints(f"{TARGET}defaults: {{query_timeout: '${{T}}'}}", T="hunter2")
    assert "'${T}' is not a duration" in complaint


def test_surrogates_from_the_environment() -> None:
    """Bytes of the environment that are not UTF-8 are refused, not carried to the server."""
    (complaint,) = complaints("targets: [{name: a, dsn: '${D}'}]", D="service=\udcff")
    assert complaint.endswith("targets[0].dsn: holds a NUL or a character that is not Unicode")


def load_complaint(path: Path) -> str:
    """Return the one thing that is wrong with a file, without its name."""
    with pytest.raises(ConfigError) as raised:
        load_config(path, {})
    return str(raised.value).removeprefix(str(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ": is empty; it needs at least 'targets', the servers to watch"),
        (b"a: 1\nb: \xff\n", ":2: is not UTF-8 text"),
        (b"\xff\xfea\0:\0", ":1: is not UTF-8 text"),
        (b"#" * 10_000_001, ": is larger than 10 MB"),
    ],
)
def test_bad_file(tmp_path: Path, content: bytes, words: str) -> None:
    """A file that is no text is told so."""
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert load_complaint(path) == words


def test_no_file(tmp_path: Path) -> None:
    """A file that cannot be read is told why."""
    assert load_complaint(tmp_path / "no.yaml") == ": cannot be read: No such file or directory"
    assert load_complaint(tmp_path) == ": cannot be read: Is a directory"
    assert load_complaint(tmp_path / "a\0b") == ": cannot be read: its name holds a NUL"


def test_forbidden_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that we may not read is told so."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # as root, no permission would refuse us
    assert load_complaint(tmp_path / "x.yaml") == ": cannot be read: Permission denied"


def test_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark, as some editors write, is no part of the first key."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TARGET.encode())
    assert load_config(path, {}).targets == parse(TARGET).targets
