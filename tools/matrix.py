"""Run the integration tests on every supported PostgreSQL: `python -m tools.matrix [VERSION...]`.

All are run, also after a failure; the last lines tell how each did.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from tools import postgres

ROOT = Path(__file__).parents[1]


# The tests wait for servers more than they compute: one needs a quarter of two cores.
AT_ONCE = 3


# Each version's tests are run in so many parts, so that no core waits for the last version.
PARTS = 2


class Result(NamedTuple):
    """How a part of the tests of one version ended."""

    passed: bool
    seconds: float


def main(majors: list[str]) -> int:
    """Return the number of versions on which a test failed."""
    # One after the other: two must not install what fetching needs at the same time.
    programs = [postgres.fetch(major) for major in majors]
    parts = range(PARTS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [
            [pool.submit(_run, major, where, part) for part in parts]
            for major, where in zip(majors, programs, strict=True)
        ]
    results = [[part.result() for part in version] for version in running]
    for major, version in zip(majors, results, strict=True):
        passed = all(part.passed for part in version)
        seconds = sum(part.seconds for part in version)
        print(f"PostgreSQL {major}: {'passed' if passed else 'FAILED'} in {seconds:.0f} s")
    return sum(not all(part.passed for part in version) for version in results)


def _run(major: str, programs: Path, part: int) -> Result:
    """Run a part of the tests on one version, and print what they say when they have ended."""
    files = sorted((ROOT / "tests" / "integration").glob("test_*.py"))[part::PARTS]
    command = [sys.executable, "-m", "tools.once_more", "-q", "-m", "not slow", *map(str, files)]
    start = monotonic()
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PGCONN_TEST_POSTGRES_BIN": str(programs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(f"--- PostgreSQL {major}, part {part + 1} of {PARTS}\n{done.stdout}", flush=True)
    return Result(done.returncode == 0, monotonic() - start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or postgres.available()))
