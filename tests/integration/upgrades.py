"""A real pg_upgrade, from PostgreSQL 13 to 15."""

import subprocess
from pathlib import Path
from typing import Final

from exporter.demo import binaries
from exporter.demo.cluster import Cluster

PROGRAMS: Final = Path(__file__).parents[2] / ".cache" / "pg_upgrade"
OLD, NEW = PROGRAMS / "13" / "bin", PROGRAMS / "15" / "bin"


def upgrade(old: Cluster, new: Cluster) -> None:
    """Make the data of `new`, which was never started, out of those of `old`, which is stopped."""
    assert (NEW / "pg_upgrade").exists(), "pg_upgrade is missing: run `make test`, which fetches it"
    new.make()
    new.configure({"jit": "off"})  # writes the settings, without which no server starts
    account = binaries.unprivileged()
    # The disk is left to the other servers, which nothing shall happen to.
    command = [str(new.bin_dir / "pg_upgrade"), "--username=postgres", "--no-sync", "--link"]
    command += [f"--old-bindir={old.bin_dir}", f"--new-bindir={new.bin_dir}"]
    command += [f"--old-datadir={old.data}", f"--new-datadir={new.data}"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=new.folder,  # where it puts its sockets
        env=binaries.environment(),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    assert done.returncode == 0, done.stdout
