"""What failed on a busy machine runs once more by itself; a fault fails all the same."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tools.once_more import MOST

ROOT: Final = Path(__file__).parents[2]

FIRST_TIME: Final = """
from pathlib import Path

def test_late():
    met, was = Path("met"), Path("met").exists()
    met.touch()
    assert was
"""
FAULTS: Final = """
import pytest

@pytest.mark.parametrize("number", range({}))
def test_fault(number):
    assert False
"""


def run(folder: Path, *files: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the tests of some files, two at a time, with coverage."""
    for name, text in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "tools.once_more", "--numprocesses=2", "--cov=tests"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_passed_by_itself(tmp_path: Path) -> None:
    """A test that passes the second time passes, and is told."""
    name = "tests/integration/test_it.py"
    done = run(tmp_path, (name, FIRST_TIME), ("tests/unit/test_fine.py", "def test(): pass"))
    assert done.returncode == 0, done.stdout
    assert f"=== passed only by itself: {name}::test_late\n" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "1 passed" in done.stdout.splitlines()[-2]


def test_fails_twice(tmp_path: Path) -> None:
    """A fault fails, though another test passes the second time."""
    late, fault = "tests/incidents/test_late.py", "tests/integration/test_fault.py"
    done = run(tmp_path, (late, FIRST_TIME), (fault, FAULTS.format(1)))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"=== passed only by itself: {late}::test_late\n" in done.stdout
    assert f"only by itself: {fault}" not in done.stdout


@pytest.mark.parametrize(
    ("name", "count"), [("tests/integration/test_it.py", MOST + 1), ("tests/unit/test_it.py", 1)]
)
def test_no_excuse(tmp_path: Path, name: str, count: int) -> None:
    """Where many fail, or a test that needs no server, there is no second run."""
    done = run(tmp_path, (name, FAULTS.format(count)))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "once more" not in done.stdout


def test_other_ends(tmp_path: Path) -> None:
    """What is no failed test stays what it is: a file that cannot be read, no tests at all."""
    unreadable = run(tmp_path, ("tests/integration/test_it.py", "def test(:"))
    assert unreadable.returncode == pytest.ExitCode.INTERRUPTED
    nothing = run(tmp_path, ("tests/integration/test_it.py", ""))
    assert nothing.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_floor_of_coverage(tmp_path: Path) -> None:
    """Coverage below its floor fails, though every test passes in the end."""
    (tmp_path / ".coveragerc").write_text("[report]\nfail_under = 90\n", encoding="utf-8")
    unused = "def unused():\n" + "    print()\n" * 50
    done = run(tmp_path, ("tests/integration/test_it.py", FIRST_TIME + unused))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "=== passed only by itself" in done.stdout
