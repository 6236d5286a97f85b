"""A real PgBouncer in front of a server, its console, and clients of its pools."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from exporter.demo import binaries
from exporter.demo.cluster import Cluster
from exporter.demo.folder import Folder
from exporter.demo.forwarder import Forwarder
from exporter.demo.ports import IPV4, free_port
from tests.integration.staging import MONITOR, PATIENCE, TURN, Client, Session

PROGRAM = Path(__file__).parents[2] / ".cache" / "pgbouncer" / "bin" / "pgbouncer"
USERS = ("app", "reports", "celery", "stats", "admin", "stranger", MONITOR)
SETTINGS = {
    "auth_type": "trust",
    "stats_users": "stats",
    "admin_users": "admin",
    "pool_mode": "transaction",
    "default_pool_size": "2",
    "server_login_retry": "1",
}


class PgBouncer:
    """A PgBouncer with the pools `shop` (over TCP) and `orders` (the same, by the Unix socket)."""

    def __init__(self, cluster: Cluster, settings: Mapping[str, str]) -> None:
        place = f"port={cluster.port} dbname=shop"
        sizes = "pool_size=3 reserve_pool=1 max_db_connections=7"
        self._databases = {
            "shop": f"host={IPV4} {place}",
            "orders": f"host={cluster.folder} {place} {sizes}",
        }
        self._settings = SETTINGS | dict(settings)
        self._account = binaries.unprivileged()
        self._resources = ExitStack()
        self._forwarders: dict[str, Forwarder] = {}
        self._sessions: list[Session] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    # --- Starting and ending

    def start(self) -> None:
        """Start it, at first on any port, and wait until its console answers."""
        self.port = self.port or free_port()
        self._write_settings()
        data = self.folder / "data"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), str(self.folder / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=data,
                env=binaries.environment(),
                start_new_session=True,
                user=self._account.uid if self._account else None,
                group=self._account.gid if self._account else None,
                extra_groups=[] if self._account else None,
            )
        # Where the guard of a folder looks for whom it has to end.
        (data / "postmaster.pid").write_text(f"{self._process.pid}\n")
        self._await_ready()

    def _write_settings(self) -> None:
        settings = self._settings | {
            "listen_addr": IPV4,
            "listen_port": str(self.port),
            "unix_socket_dir": str(self.folder),
            "auth_file": str(self.folder / "users.txt"),
        }
        lines = ["[databases]", *(f"{name} = {keys}" for name, keys in self._databases.items())]
        lines += ["[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        users = "".join(f'"{user}" ""\n' for user in USERS)
        (self.folder / "users.txt").write_text(users)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.show("VERSION")
            except psycopg.OperationalError:
                ended = self._process is None or self._process.poll() is not None
                assert not ended, self.log_text()
                assert time.monotonic() < deadline, self.log_text()
                time.sleep(TURN)
            else:
                return

    def kill(self) -> None:
        """Kill it: no word of farewell to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it with SIGSTOP: it lives and answers nobody."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def log_text(self) -> str:
        """Return its log."""
        return (self.folder / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.folder = self._resources.enter_context(Folder(self._account)).path
        try:
            self._program = self._runnable()
            (self.folder / "data").mkdir()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def _runnable(self) -> Path:
        """Return the program, copied to where the unprivileged user can run it if need be."""
        assert PROGRAM.exists(), "PgBouncer is missing: run `make test`, which fetches it"
        with contextlib.suppress(PermissionError):
            if binaries.run([str(PROGRAM), "--version"], self._account).returncode == 0:
                return PROGRAM
        copied = self.folder / "install"
        shutil.copytree(PROGRAM.parents[1], copied, symlinks=True)
        return copied / "bin" / PROGRAM.name

    def close(self) -> None:
        """End it, and remove everything that it has left."""
        self.kill()
        self._resources.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- Ways in

    def dsn(self, user: str = "stats", dbname: str = "pgbouncer", **more: str) -> str:
        """Return how to reach the console, or a pool; `more` are further libpq parameters."""
        place = {"host": IPV4, "port": str(self.port)} | more
        return make_conninfo(user=user, dbname=dbname, **place)

    def target(self, **keys: object) -> dict[str, object]:
        """Return the target that watches it."""
        return {"kind": "pgbouncer", "dsn": self.dsn()} | keys

    def show(self, what: LiteralString) -> list[dict[str, Any]]:
        """Return a table of the console, as an engineer would look at it."""
        return self.command("SHOW " + what)

    def command(self, command: LiteralString) -> list[dict[str, Any]]:
        """Run a command as an administrator, and return its rows."""
        with psycopg.connect(
            self.dsn("admin"), autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as console:
            cursor = console.cursor(row_factory=dict_row)
            cursor.execute(command)
            return cursor.fetchall() if cursor.description else []

    async def connect(self, client: Client) -> Session:
        """Open a client's connection to a pool, which prepares no statements."""
        place = {"application_name": client.application_name}
        if client.client_addr == "local":
            place["host"] = str(self.folder)
        elif client.client_addr != IPV4:
            place["port"] = str(self._forwarder(client.client_addr).port)
        dsn = self.dsn(client.user, client.dbname, **place)
        connection = await AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=None)
        session = Session(client, connection)
        self._sessions.append(session)
        return session

    def _forwarder(self, source: str) -> Forwarder:
        if source not in self._forwarders:
            forwarder = Forwarder(source, self.port)
            self._forwarders[source] = self._resources.enter_context(forwarder)
        return self._forwarders[source]

    async def disconnect(self) -> None:
        """Close every client's connection."""
        for session in self._sessions:
            await session.close()
        self._sessions.clear()


@contextlib.asynccontextmanager
async def pgbouncer(cluster: Cluster, **settings: str) -> AsyncIterator[PgBouncer]:
    """Run a PgBouncer, and close its clients in the end."""
    with PgBouncer(cluster, settings) as bouncer:
        try:
            yield bouncer
        finally:
            await bouncer.disconnect()
