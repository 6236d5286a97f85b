"""What a person reads: the question, what to do, and the words where there is nothing."""

import re
from collections.abc import Iterator
from typing import Final

from exporter.alerts import GROUPS
from tests.unit.alerts.promql import DECLARED
from tests.unit.dashboards.reading import Check, Document, asking, called, options_of, panels

MOST_WORDS: Final = 60

_ANSWERS: Final = re.compile(r"\*\*[A-Z`][^*]*\?\*\*\n\n\S", re.DOTALL)

_NAME: Final = re.compile(r"\b(?:(?:Postgres|PgBouncer|Pgconn)[A-Z]\w+|pgconn_\w+)")
_KNOWN: Final = {rule.alert for group in GROUPS for rule in group.rules} | DECLARED.keys()


def questions(dashboard: Document) -> Iterator[str]:
    """Insist that a description begins with the question and ends with what to do."""
    for panel in asking(dashboard):
        description = panel.get("description", "")
        if not _ANSWERS.match(description):
            yield f"{called(panel)}: does not say which question it answers, and more"
        if not description.rstrip().endswith((".", "?")):
            yield f"{called(panel)}: its description ends within a sentence"


def existing_names(dashboard: Document) -> Iterator[str]:
    """Insist that the runbooks and metrics that a description names are there."""
    for panel in asking(dashboard):
        for name in sorted(set(_NAME.findall(panel.get("description", ""))) - _KNOWN):
            yield f"{called(panel)}: names {name}, which does not exist"


def short_texts(dashboard: Document) -> Iterator[str]:
    """Insist on few words: nobody reads long texts at night."""
    for panel in panels(dashboard):
        if panel["type"] == "text":
            words = len(panel["options"]["content"].split())
            if not 0 < words <= MOST_WORDS:
                yield f"{called(panel)}: has {words} words"


def nothing_found(dashboard: Document) -> Iterator[str]:
    """Insist that an empty panel says what that means."""
    for panel in asking(dashboard):
        _, defaults = next(options_of(panel))
        if not defaults.get("noValue", "").strip():
            yield f"{called(panel)}: does not say what it means when it is empty"


WORDS: Final[tuple[Check, ...]] = (questions, existing_names, short_texts, nothing_found)
