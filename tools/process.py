"""Run other programs."""

import shlex
import subprocess
import sys
from pathlib import Path


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a program whose words, if any, are for the person; stop where it fails."""
    # Standard output is left to our own results, which a shell may read.
    done = subprocess.run(command, check=False, cwd=cwd, env=env, stdout=sys.stderr)
    if done.returncode:
        sys.exit(f"this failed with {done.returncode}: {shlex.join(command)}")


def output(*command: str, cwd: Path | None = None) -> str:
    """Return what a program prints; stop where it fails."""
    done = subprocess.run(command, check=False, cwd=cwd, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        sys.exit(f"this failed with {done.returncode}: {shlex.join(command)}")
    return done.stdout
