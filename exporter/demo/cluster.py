"""A throw-away PostgreSQL server on any binaries, for the demo and the tests."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote, urlencode

from exporter.demo import binaries
from exporter.demo.binaries import ClusterError
from exporter.demo.data import Data, processes_in
from exporter.demo.folder import Folder
from exporter.demo.ports import IPV4, free_port, loopbacks

TURN = 0.01  # seconds between two looks at something that cannot be waited for
ATTEMPTS = 5  # to find a port: another process may be faster than the server

COULD_NOT_BIND, RELOADS = "could not bind", "received SIGHUP"  # as the server logs it

Mode = Literal["fast", "immediate", "smart"]
MODES: dict[Mode, signal.Signals] = {
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
    "smart": signal.SIGTERM,
}

SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # in the data folder: a killed server leaves nothing
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PortTakenError(ClusterError):
    """Somebody else listens on the wanted port."""


class Cluster:
    """A PostgreSQL server in a temporary folder, reachable over TCP and a Unix socket.

    Nobody needs a password. As root it runs as an unprivileged user. Nothing stays behind
    when it is closed, nor when we are killed before that. It starts empty, or on a copy of the
    data folder `base`, such as a backup of another one.
    """

    def __init__(
        self,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        base: Path | None = None,
    ) -> None:
        self._wanted_bin_dir = bin_dir
        self._base = base
        self._settings = {**SETTINGS, **(settings or {})}
        self._wanted_port = port
        self._port = port
        self._account = binaries.unprivileged()
        self._folder: Folder | None = None
        self._bin_dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    # --- What it is

    @property
    def folder(self) -> Path:
        """The temporary folder: data, log and socket."""
        if self._folder is None:
            raise ClusterError("the cluster was never started, or is closed")
        return self._folder.path

    @property
    def data(self) -> Path:
        """The data folder, in which the server's processes work."""
        return self.folder / "data"

    @property
    def _files(self) -> Data:
        return Data(self.data, self._account)

    @property
    def bin_dir(self) -> Path:
        """The folder of the binaries in use."""
        if self._bin_dir is None:
            raise ClusterError("the cluster was never started, or is closed")
        return self._bin_dir

    @property
    def port(self) -> int:
        """The TCP port, which stays the same over restarts."""
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        if self._process is None:
            raise ClusterError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def version(self) -> int:
        """The major version."""
        return self._files.version

    def log_text(self) -> str:
        """Return everything that the server has written to its log."""
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def processes(self) -> list[int]:
        """Return the process ids of the postmaster and all its children."""
        return processes_in(self.data)

    def dsn(
        self, user: str = "postgres", dbname: str = "postgres", host: str = IPV4, **more: str
    ) -> str:
        """Return the URL of a database over TCP; `more` are further libpq parameters."""
        address = f"[{host}]" if ":" in host else quote(host, safe="")
        port = more.pop("port", str(self.port))  # as of a proxy in front
        return self._url(f"{quote(user, safe='')}@{address}:{port}", dbname, more)

    def socket_dsn(self, user: str = "postgres", dbname: str = "postgres", **more: str) -> str:
        """Return the URL of a database over the Unix socket."""
        place = {"host": str(self.folder), "port": str(self.port)}
        return self._url(f"{quote(user, safe='')}@", dbname, place | more)

    @staticmethod
    def _url(authority: str, dbname: str, parameters: Mapping[str, str]) -> str:
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"postgresql://{authority}/{quote(dbname, safe='')}{query}"

    # --- Starting

    def start(self, timeout: float = 30) -> None:
        """Start the server and wait until it accepts connections."""
        if self.running:
            raise ClusterError("the server is already running")
        try:
            self.make()
            self._launch_somewhere(timeout)
        except BaseException:
            self._end()
            raise

    def make(self) -> None:
        """Make the folder and the data in it, unless that is done; starting does it too."""
        if self._folder is not None:
            return
        bin_dir = binaries.locate(self._wanted_bin_dir)
        self._folder = Folder(self._account)
        try:
            if self._account and not binaries.runnable(bin_dir, self._account):
                bin_dir = binaries.copy_for(self._account, bin_dir, self.folder)
            if self._base is None:
                self._files.make(bin_dir)
            else:
                self._files.copy(self._base)
        except BaseException:
            self.close()
            raise
        self._bin_dir = bin_dir

    def _launch_somewhere(self, timeout: float) -> None:
        """Launch on the port that we have, or else on any that is free."""
        for attempt in range(1, ATTEMPTS + 1):
            chosen = self._port or free_port()
            try:
                return self._launch(chosen, timeout)
            except PortTakenError:
                if self._port or attempt == ATTEMPTS:
                    raise
        return None

    def _launch(self, port: int, timeout: float) -> None:
        """Start the postmaster on a port and wait until it accepts connections."""
        self._write_settings(port)
        written = len(self.log_text())
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.bin_dir / "postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=binaries.environment(),
                start_new_session=True,  # out of the reach of a terminal's Ctrl-C
                user=self._account.uid if self._account else None,
                group=self._account.gid if self._account else None,
                extra_groups=[] if self._account else None,
            )
        self._await_ready(port, written, time.monotonic() + timeout)
        self._port = port

    def _await_ready(self, port: int, written: int, deadline: float) -> None:
        """Wait until the postmaster accepts connections."""
        while not (self.running and self._files.is_ready(self.pid)):
            said = self.log_text()[written:]
            if self.running and time.monotonic() < deadline:
                time.sleep(TURN)
            elif COULD_NOT_BIND in said:
                raise PortTakenError(f"port {port} is taken")
            else:
                raise ClusterError(f"PostgreSQL did not start:\n{said}")
        if COULD_NOT_BIND in self.log_text()[written:]:  # a server on half of the addresses
            self._end()
            raise PortTakenError(f"port {port} is taken")

    # --- Settings

    def configure(self, settings: Mapping[str, str]) -> None:
        """Change settings for the next start or reload."""
        self._settings.update(settings)
        if self._folder is not None:
            self._write_settings(self.port)

    def write_hba(self, lines: Iterable[str]) -> None:
        """Put lines in front of the rule that trusts everybody local, and reload."""
        self._files.write_hba(lines)
        if self.running:
            self.reload()

    def reload(self, timeout: float = 10) -> None:
        """Make the server read its files again: connections opened after this see the new ones.

        The postmaster reads them before it accepts another connection.
        """
        before = self.log_text().count(RELOADS)
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + timeout
        while self.log_text().count(RELOADS) == before:
            if time.monotonic() > deadline:
                raise ClusterError(f"PostgreSQL did not reload:\n{self.log_text()}")
            time.sleep(TURN)

    def _write_settings(self, port: int) -> None:
        place = {
            "port": str(port),
            "listen_addresses": ",".join(loopbacks()),
            "unix_socket_directories": str(self.folder),
        }
        self._files.write_settings(place | self._settings)

    # --- Ending

    def stop(self, mode: Mode = "fast", timeout: float = 30) -> None:
        """Stop the server and keep its data."""
        if self._process is None:
            return
        self._process.send_signal(MODES[mode])
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"PostgreSQL did not stop:\n{self.log_text()}") from error
        self._process = None

    def restart(self, mode: Mode = "fast", timeout: float = 30) -> None:
        """Stop the server and start it again on its data and port."""
        self.stop(mode, timeout)
        self.start(timeout)

    def kill(self, timeout: float = 5) -> None:
        """Kill the postmaster as the kernel would when out of memory, and await its children.

        They notice by themselves when they next wait; those that are too busy are killed.
        """
        os.kill(self.pid, signal.SIGKILL)
        self._reap()
        deadline = time.monotonic() + timeout
        while left := self.processes():
            if time.monotonic() > deadline:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                        os.kill(pid, signal.SIGKILL)
            time.sleep(TURN)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """End the server and remove everything that it has left; starting again makes it anew."""
        self._end()
        if self._folder is not None:
            self._files.free_shared_memory()
            self._folder.remove()
        self._folder = self._bin_dir = None
        self._port = self._wanted_port

    def _end(self) -> None:
        """End the server, at worst with SIGKILL."""
        try:
            self.stop("immediate", timeout=10)
        except ClusterError:
            self.kill()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
