"""Run pytest, and what failed once more by itself: `python -m tools.once_more ARGUMENT...`.

Tests against real servers wait for what those do, and a machine that others use may stand still
meanwhile. A fault fails twice. What passes by itself is told: its test has to be mended.
"""

import json
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

REAL: Final = ("tests/integration/", "tests/incidents/")
"""Where tests have to do with servers; no other test has an excuse."""

MOST: Final = 3
"""So many may have met a bad moment; more are a fault."""


def main(arguments: Sequence[str]) -> int:
    """Return pytest's exit code: the second one, where there was a second run."""
    with TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
        code = subprocess.run(command, check=False).returncode
        failed = _failed(Path(cache))
        if code != pytest.ExitCode.TESTS_FAILED or not excusable(failed):
            return code
        _tell("once more, by itself", failed)
        again = ["--last-failed", "--numprocesses=0", "--cov-append"]
        code = subprocess.run([*command, *again], check=False).returncode
        _tell("passed only by itself", failed - _failed(Path(cache)))
        return code


def excusable(failed: Collection[str]) -> bool:
    """Tell whether these tests may run once more.

    >>> excusable(["tests/integration/test_spare.py::test_spare"])
    True
    >>> excusable(["tests/unit/test_pace.py::test_pace"])
    False
    """
    return 0 < len(failed) <= MOST and all(test.startswith(REAL) for test in failed)


def _failed(cache: Path) -> set[str]:
    """Give the tests that failed last, of pytest's own memory."""
    memory = cache / "v" / "cache" / "lastfailed"
    return set(json.loads(memory.read_text(encoding="utf-8"))) if memory.exists() else set()


def _tell(what: str, tests: Collection[str]) -> None:
    for test in sorted(tests):
        print(f"=== {what}: {test}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
