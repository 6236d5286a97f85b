"""A temporary folder that goes away with us, however we end, and a server in it too."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from exporter.demo.binaries import Account

# A socket's whole path must fit into 107 bytes (103 on macOS): `/.s.PGSQL.65535` and some air.
LONGEST_FOLDER = 80

# Waits until its standard input ends, which the kernel sees to even when we are killed.
# The link in /proc keeps it from signalling whoever got the process id of a dead server;
# without /proc the server ends by itself within a minute of losing its folder. One that is ending
# still writes files: it gets ten seconds.
GUARD = """
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
runs() { [ -n "$pid" ] && [ "/proc/$pid/cwd" -ef "$1/data" ]; }
runs "$1" && kill -QUIT "$pid"
turns=100
while runs "$1" && [ $turns -gt 0 ]; do sleep 0.1; turns=$((turns - 1)); done
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"""


def make_folder(account: Account | None) -> Path:
    """Make a private folder that the user reaches, its path short enough for a socket in it."""
    folder = private_folder(account, None)
    if len(bytes(folder)) <= LONGEST_FOLDER and (account is None or account.reaches(folder)):
        return folder
    folder.rmdir()
    return private_folder(account, "/tmp")  # noqa: S108 - made private too


def private_folder(account: Account | None, parent: str | None) -> Path:
    """Make a folder that only the user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pgconn-", dir=parent)).resolve()  # as /proc shows it
    if account:
        account.own(folder)
    return folder


class Folder:
    """A temporary folder with a guard that clears it away, even if we are killed."""

    def __init__(self, account: Account | None = None) -> None:
        self.path = make_folder(account)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # out of the reach of a terminal's Ctrl-C
        )

    def remove(self) -> None:
        """Remove the folder and let the guard go."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._guard.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()
