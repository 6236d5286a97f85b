"""Make .venv: the locked packages, and ours in editable form. Runs on the system's Python."""

import importlib.util
import subprocess
import sys
from pathlib import Path

VERSION = ".".join(map(str, sys.version_info[:2]))
if sys.version_info < (3, 11):  # noqa: UP036 - this script is what an older Python meets first
    sys.exit(
        "Python 3.11 or newer is needed, this is " + VERSION + ": "
        "name one, as in `make PYTHON=python3.12 demo`"
    )

# ruff: noqa: E402 - what follows needs the version that was checked above
from tools import debian
from tools.process import run

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.lock"


def make() -> None:
    """Make the environment, or bring it up to date."""
    python = HOME / "bin" / "python"
    if not _same_version(python):
        if importlib.util.find_spec("ensurepip") is None:  # Debian has it in a package of its own
            debian.install(f"python{VERSION}-venv", because="Python's module ensurepip is missing")
        print(f"making {HOME.name} (once)", flush=True)
        run(sys.executable, "-m", "venv", "--clear", str(HOME))
    print(f"installing the packages of {LOCK.name} (a minute at first)", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--require-hashes", "-r", str(LOCK))
    # The build's requirements are in the lock: nothing is fetched that has no hash.
    run(*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT))


def _same_version(python: Path) -> bool:
    """Tell whether the environment works and has the Python that we run on."""
    code = f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if not python.exists():
        return False
    return subprocess.run([str(python), "-c", code], check=False).returncode == 0


if __name__ == "__main__":
    make()
