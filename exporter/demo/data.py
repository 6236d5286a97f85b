"""A server's data folder: what initdb makes, and the files in it that we write and read."""

import ctypes
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from exporter.demo import binaries
from exporter.demo.binaries import Account, ClusterError

INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

# Every loopback address: a client may come from another one than 127.0.0.1.
TRUST = (
    "local all,replication all trust",
    "host all,replication all 127.0.0.0/8 trust",
    "host all,replication all ::1/128 trust",
)

# The lines of postmaster.pid, counted from zero, and how many a server that has started wrote.
PID, SHARED_MEMORY, STATUS, LINES = 0, 6, 7, 8


def quoted(value: str) -> str:
    r"""Quote a value for postgresql.conf.

    >>> print(quoted("it's a \\"))
    'it''s a \\'
    """
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def processes_in(folder: Path) -> list[int]:
    """Return the processes that work in a folder, as all of a server's do in its data."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:  # gone meanwhile, or another user's
            continue
    return found


class Data:
    """The data folder of one server, which runs as an account."""

    def __init__(self, path: Path, account: Account | None) -> None:
        self.path = path
        self._account = account

    def make(self, bin_dir: Path) -> None:
        """Make the folder, trusting everybody local."""
        command = [str(bin_dir / "initdb"), "--pgdata", str(self.path), *INITDB]
        done = binaries.run(command, self._account)
        if done.returncode != 0:
            raise ClusterError(f"initdb failed:\n{done.stdout}")
        with (self.path / "postgresql.conf").open("a") as file:
            file.write("include = 'pgconn.conf'\n")
        self.write_hba(())

    def copy(self, base: Path) -> None:
        """Make the folder as a copy of that of another server of Cluster's."""
        shutil.copytree(base, self.path, symlinks=True)
        if self._account:
            self._account.own_tree(self.path)

    @property
    def version(self) -> int:
        """The major version of the server that made it."""
        return int((self.path / "PG_VERSION").read_text())

    def write_settings(self, settings: Mapping[str, str]) -> None:
        """Write the settings, which ALTER SYSTEM still overrides."""
        lines = (f"{name} = {quoted(value)}" for name, value in settings.items())
        self._write("pgconn.conf", lines)

    def write_hba(self, lines: Iterable[str]) -> None:
        """Put lines in front of the rule that trusts everybody local."""
        self._write("pg_hba.conf", (*lines, *TRUST))

    def _write(self, name: str, lines: Iterable[str]) -> None:
        """Write a file, readable for the server whatever our umask is."""
        path = self.path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if self._account:
            self._account.own(path)

    def is_ready(self, pid: int) -> bool:
        """Tell whether a postmaster accepts connections, by its own word.

        Asking it over a connection would cost one that statistics count.
        """
        lines = self._postmaster()
        return len(lines) >= LINES and lines[PID] == str(pid) and lines[STATUS].strip() == "ready"

    def free_shared_memory(self) -> None:
        """Free the shared memory that a killed postmaster leaves until its next start."""
        lines = self._postmaster()
        if len(lines) >= LINES:
            segment = int(lines[SHARED_MEMORY].split()[-1])
            ctypes.CDLL(None).shmctl(segment, 0, None)  # 0: IPC_RMID

    def _postmaster(self) -> list[str]:
        """Return the lines of postmaster.pid: none when the server has ended in order."""
        try:
            return (self.path / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
