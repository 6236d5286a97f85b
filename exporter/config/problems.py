"""What is wrong with a configuration file, and where: for people, and never with a secret."""

from dataclasses import dataclass
from typing import Final, NamedTuple

_LONGEST_KEY: Final = 40  # ours have at most 25 characters

Key = str | int
Path = tuple[Key, ...]


class Fault(NamedTuple):
    """Something wrong at a path; `line` where it is not the line of that path."""

    path: Path
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file: `line` counts from 1, `path` is empty for the whole file."""

    source: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        """Write it as compilers do, so that editors can jump to it."""
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigError(Exception):
    """A file that cannot be used, with everything that is wrong in it, in the file's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        """Join the problems, one a line."""
        return "\n".join(str(problem) for problem in self.problems)


def write_path(path: Path) -> str:
    """Write a path as in `targets[0].intervals.activity`.

    A key that does not look like one is left out: it may be anything, a password included.

    >>> write_path(("targets", 0, "dsn")), write_path(("targets", "postgresql://user:secret@host"))
    ('targets[0].dsn', 'targets.?')
    """
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key if is_plain(key) else '?'}"
    return text.removeprefix(".")


def is_plain(key: str) -> bool:
    """Say whether a text looks like a key of ours, however misspelt.

    >>> is_plain("inteval"), is_plain("query-timeout"), is_plain("p%40ss")
    (True, True, False)
    """
    return len(key) <= _LONGEST_KEY and key.isascii() and key.replace("-", "_").isidentifier()
