"""The pages of docs/runbooks, taken apart into what a person on call would run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "docs" / "runbooks"
LOOK, KILL, TUNE = "First look", "Is it safe to kill?", "Tune or silence"
CURE: Final = "The cure for good"
SECTIONS: Final = (
    "What it means",
    "Impact",
    LOOK,
    "Decide",
    KILL,
    CURE,
    TUNE,
)
CONSOLE: Final = "-- On PgBouncer's console"

_BLOCK: Final = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_SINCE: Final = re.compile(r"-- From PostgreSQL (\d+) on\n")
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)
_ENDS: Final = re.compile(r"pg_terminate_backend|pg_cancel_backend")
_ALONE: Final = re.compile(r"ALTER SYSTEM|PREPARED|CONCURRENTLY|VACUUM|pg_drop_replication_slot")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it stands in a page, and the version from which on it can be."""

    text: str
    since: int = 0

    @property
    def ends(self) -> bool:
        """Whether it ends somebody's session or query."""
        return bool(_ENDS.search(self.text))

    @property
    def alone(self) -> bool:
        """Whether it cannot be rolled back, or not stand in a transaction."""
        return bool(_ALONE.search(self.text))

    @property
    def chosen(self) -> str:
        """Give whom it is about: from FROM on, without the order."""
        found = re.search(r"\bFROM\b.*", " ".join(self.text.split()))
        assert found is not None, self.text
        return re.sub(r" ORDER BY .*", "", found[0])


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a section."""

    page: str
    section: str
    language: str
    text: str

    @property
    def on_console(self) -> bool:
        """Whether it is for PgBouncer's console."""
        return self.text.startswith(CONSOLE)

    @property
    def since(self) -> int:
        """Give the version that it says it needs, else 0."""
        found = _SINCE.match(self.text)
        return int(found[1]) if found else 0

    @property
    def statements(self) -> Iterator[Statement]:
        """Give its statements one by one, as psql would send them."""
        assert "$$" not in self.text, "a body that would be cut in two"
        text = _COMMENT.sub("", self.text).strip()
        assert text.endswith(";"), f"{self.page}: no semicolon at the end of {text}"
        for statement in re.split(r";\s*$", text, flags=re.MULTILINE):
            if statement.strip():
                yield Statement(statement.strip(), self.since)


@dataclass(frozen=True)
class Page:
    """One document."""

    name: str
    text: str

    @cached_property
    def prose(self) -> str:
        """Give the text without its blocks."""
        return _BLOCK.sub("", self.text)

    @property
    def headings(self) -> tuple[str, ...]:
        """Give the headings of its sections."""
        return tuple(_HEADING.findall(self.prose))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Give all blocks in their order."""
        return tuple(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        for found in _BLOCK.finditer(self.text):
            headings = _HEADING.findall(self.text[: found.start()])
            yield Block(self.name, headings[-1] if headings else "", found[2], dedent(found[3]))

    def sql(self, section: str | None = None) -> Iterator[Block]:
        """Give what runs on a PostgreSQL server, of a section or of all."""
        for block in self.blocks:
            here = section in (None, block.section)
            if block.language == "sql" and here and not block.on_console:
                yield block

    @property
    def console(self) -> Iterator[Block]:
        """Give what runs on PgBouncer's console."""
        return (block for block in self.blocks if block.on_console)

    @property
    def endings(self) -> Iterator[tuple[Statement, Statement]]:
        """Give what ends somebody, each after the statement that shows whom."""
        statements = [statement for block in self.sql() for statement in block.statements]
        before = [Statement("nothing"), *statements]
        return ((showing, ending) for showing, ending in pairwise(before) if ending.ends)

    def lines(self, program: str) -> Iterator[str]:
        """Give the commands of a program in its shell blocks, continued lines joined."""
        for block in self.blocks:
            if block.language == "sh":
                joined = block.text.replace("\\\n", " ")
                yield from (line for line in joined.splitlines() if line.startswith(program))


def read(path: Path) -> Page:
    """Read a document."""
    return Page(path.stem, path.read_text(encoding="utf-8"))


def index() -> Page:
    """Give the page that leads to all others."""
    return read(FOLDER / "README.md")


def pages() -> tuple[Page, ...]:
    """Give the page of every alert; the index is none."""
    return tuple(read(path) for path in sorted(FOLDER.glob("*.md")) if path.stem != "README")
