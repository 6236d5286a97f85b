"""Put two whole PostgreSQL servers into .cache/pg_upgrade: 13, and 15 with its pg_upgrade.

The builds of tools/postgres.py have no pg_upgrade, nor what that needs of the old server. These
are Debian's, of the releases that had those versions, with all the libraries they need; they are
unpacked and not installed.
"""

import sys
from pathlib import Path

from tools import debian
from tools.process import output

CACHE = Path(__file__).parents[1] / ".cache" / "pg_upgrade"
RELEASES = {"13": "bullseye", "15": "bookworm"}
"""The release of Debian's that has each major version."""

# By its own place, so that the folder may be copied to where another user reaches it.
_WRAPPER = """\
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../root
export LD_LIBRARY_PATH="{libraries}"
exec "$root/{program}" "$@"
"""


def fetch(major: str, cache: Path = CACHE) -> Path:
    """Return the folder of a server's programs, fetched where it is not there yet."""
    home = cache / major
    programs = home / "bin"
    if not (programs / "postgres").exists():
        print(f"fetching Debian's PostgreSQL {major} (once)", file=sys.stderr)
        root = home / "root"
        programs.mkdir(parents=True, exist_ok=True)
        packages = [f"postgresql-{major}", f"postgresql-client-{major}"]
        debian.unpack(packages, root, libraries=True, release=RELEASES[major])
        wrap(root, programs, major)
    output(str(programs / "postgres"), "--version")
    return programs


def wrap(root: Path, programs: Path, major: str) -> None:
    """Write what runs each program with the libraries that came with it."""
    folders = sorted({file.parent.relative_to(root) for file in root.rglob("lib*.so.*")})
    libraries = ":".join(f"$root/{folder}" for folder in folders)
    # The server is the last: where it is, all are.
    found = sorted((root / "usr/lib/postgresql" / major / "bin").iterdir())
    for file in sorted(found, key=lambda file: file.name == "postgres"):
        wrapper = programs / file.name
        wrapper.write_text(_WRAPPER.format(libraries=libraries, program=file.relative_to(root)))
        wrapper.chmod(0o755)


if __name__ == "__main__":
    for wanted in RELEASES:
        print(fetch(wanted))
