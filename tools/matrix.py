"""Run the integration tests on every supported PostgreSQL: `python -m tools.matrix [VERSION...]`.

All are run, also after a failure; the last lines tell how each did.
"""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

from tools import postgres

ROOT = Path(__file__).parents[1]


def main(majors: list[str]) -> int:
    """Return the number of versions on which a test failed."""
    results = {major: _run(major) for major in majors}
    for major, (passed, seconds) in results.items():
        print(f"PostgreSQL {major}: {'passed' if passed else 'FAILED'} in {seconds:.0f} s")
    return sum(not passed for passed, _ in results.values())


def _run(major: str) -> tuple[bool, float]:
    """Run the tests on one version; tell whether they passed and how long it took."""
    programs = postgres.fetch(major)
    print(f"--- PostgreSQL {major}", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "tests/integration", "-m", "not slow"]
    start = monotonic()
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PGCONN_TEST_POSTGRES_BIN": str(programs)},
    )
    return done.returncode == 0, monotonic() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or postgres.available()))
