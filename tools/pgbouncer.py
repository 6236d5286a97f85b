"""Put PgBouncer into .cache/pgbouncer/bin: the tests run a real one.

It comes from the system where it has one, else out of Debian's packages without installing
those: no root, and no service that starts by itself.
"""

import os
import shutil
import sys
from pathlib import Path

from tools import debian
from tools.process import output

CACHE = Path(__file__).parents[1] / ".cache" / "pgbouncer"
PROGRAM = "pgbouncer"

# By its own place, so that the folder may be copied to where another user reaches it.
WRAPPER = """\
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../root
export LD_LIBRARY_PATH="{libraries}"
exec "$root/usr/sbin/pgbouncer" "$@"
"""


def fetch(cache: Path = CACHE) -> Path:
    """Return the program, fetched where it is not there yet."""
    program = cache / "bin" / PROGRAM
    program.parent.mkdir(parents=True, exist_ok=True)
    if not program.exists():
        program.unlink(missing_ok=True)  # a link whose program has gone
        # Debian has it where only root's PATH leads.
        system = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if system:
            program.symlink_to(system)
        else:
            unpack(cache)
    output(str(program), "--version")
    return program


def unpack(cache: Path) -> None:
    """Fetch Debian's package with its libraries, and write what runs it."""
    print(f"fetching {PROGRAM} (once)", file=sys.stderr)
    root = cache / "root"
    debian.unpack([PROGRAM], root, libraries=True)
    folders = sorted({file.parent.relative_to(root) for file in root.rglob("lib*.so.*")})
    program = cache / "bin" / PROGRAM
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(WRAPPER.format(libraries=":".join(f"$root/{name}" for name in folders)))
    program.chmod(0o755)


if __name__ == "__main__":
    print(fetch())
