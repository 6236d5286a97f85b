"""Run the install steps of the Dockerfile for real, where there is no container engine.

The build stage is carried out in a temporary folder that stands for the image's root: COPY
copies, RUN runs, and the folders that the stage owns are moved there by rewriting their names.
Then the installed command has to answer. It takes this machine's Python for the image's.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.process import run

ROOT = Path(__file__).parents[1]
# Of our surroundings a step sees how to reach the package index, nothing else.
SURROUNDINGS = re.compile(r"PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE|https?_proxy|no_proxy", re.IGNORECASE)
# The folders of the image that the stage makes; every other path is the base image's, so ours.
OWNED = re.compile(r"(?<![\w./])(/(?:src|opt)\b)")


@dataclass
class Stage:
    """One build stage as it is carried out: the folder of its root and what holds there."""

    root: Path
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def carry_out(self, instruction: str, rest: str) -> None:
        """Carry out one instruction; an unknown one is an error, not a step left out."""
        match instruction:
            case "WORKDIR":
                self.folder = Path(self._here(rest))
                self.folder.mkdir(parents=True, exist_ok=True)
            case "ENV":
                self.env |= dict(pair.split("=", 1) for pair in shlex.split(self._here(rest)))
            case "COPY":
                self._copy(shlex.split(rest))
            case "RUN":
                print(f"RUN {rest}", flush=True)
                run("/bin/sh", "-c", self._here(rest), cwd=self.folder, env=self.env)
            case _:
                sys.exit(f"{instruction} is not known to {__name__}")

    def _here(self, text: str) -> str:
        return OWNED.sub(rf"{self.root}\1", text)

    def _copy(self, words: list[str]) -> None:
        *sources, target = words
        for name in sources:
            source = ROOT / name
            place = self.folder / self._here(target)
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, place)


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction and its arguments, continued lines joined, comments left out."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name.upper(), rest


def build_stage(dockerfile: str) -> list[tuple[str, str]]:
    """Return the instructions of the stage called build, without its FROM."""
    steps: list[tuple[str, str]] = []
    inside = False
    for name, rest in instructions(dockerfile):
        if name == "FROM":
            inside = rest.split()[1:] == ["AS", "build"]
        elif inside:
            steps.append((name, rest))
    return steps


def main() -> None:
    """Carry out the build stage and ask the result for its version and its help."""
    with tempfile.TemporaryDirectory(prefix="dockerfile-") as name:
        root = Path(name)
        # The base image's Python is the one that runs us, reached as `python`.
        programs = root / "usr" / "bin"
        programs.mkdir(parents=True)
        base = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
        (programs / "python").symlink_to(base)
        env = {key: value for key, value in os.environ.items() if SURROUNDINGS.match(key)}
        env |= {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "HOME": name}
        stage = Stage(root, root, env)
        steps = build_stage((ROOT / "Dockerfile").read_text(encoding="utf-8"))
        if not any(instruction == "RUN" for instruction, _ in steps):
            sys.exit("the Dockerfile's build stage has no RUN step")
        for instruction, rest in steps:
            stage.carry_out(instruction, rest)
        command = str(root / "opt" / "pgconn-exporter" / "bin" / "pgconn-exporter")
        for flag in ("--version", "--help"):
            print(f"pgconn-exporter {flag}", flush=True)
            run(command, flag, cwd=root, env=env)


if __name__ == "__main__":
    main()
