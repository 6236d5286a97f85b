"""What the soak says in the end."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from tests.benchmarks.harness import percentile, show, tell
from tests.integration.watching import POLLS
from tests.soak.faults import FAULTS
from tests.soak.judging import growths, tenths
from tests.soak.run import ERRORS, Result
from tests.soak.world import STEADY

DAY: Final = 86400.0
BY_DEFAULT: Final = {
    "activity": 1.0,
    "probe": 15.0,
    "databases": 15.0,
    "statements": 30.0,
    "replication": 30.0,
    "settings": 60.0,
}
"""Seconds from one poll of a target to the next."""
SCRAPE_BY_DEFAULT: Final = 15.0

UNFORESEEN: Final = ("level=error", "level=critical", "Traceback", "was never retrieved")

ENTRY: Final = 3000
CELL: Final = 60

REST: Final = ("at rest", "start", "end", "growth", "allowed", "")
HEALTHY: Final = (
    "healthy target",
    "polls due",
    "made",
    "missed",
    "share",
    "allowed + without processor",
    "",
)


def report(result: Result) -> bool:
    """Print everything, and tell whether it is good."""
    _tell_faults(result)
    _tell_scale(result)
    rests = result.start.gauges, result.end.gauges
    figures = list(growths(*rests, rss=result.length.rss))
    wrong = list(_wrong(result))
    show("What the exporter holds", REST, [figure.row() for figure in figures])
    show("What it has missed", HEALTHY, [polls.row() for polls in result.polls])
    _tell_new_series(result)
    tell(result.events.trace)
    for line in wrong:
        tell(line)
    good = not wrong and all(f.good for f in figures) and all(p.good for p in result.polls)
    tell("good" if good else "NOT GOOD")
    return good


def _tell_faults(result: Result) -> None:
    """Say which faults there were, and what memory and scrapes were like under them."""
    events = result.events
    rows = [
        (
            fault,
            f"{events.done[fault]}",
            f"{events.in_vain[fault]}",
            _first_line(events.reasons.get(fault, "")),
        )
        for table in FAULTS.values()
        for fault in table
    ]
    show("Faults", ("fault", "times", "in vain", "last error"), rows)
    memory = " ".join(f"{value:.1f}" for value in tenths(events.memory))
    tell(f"RSS under faults, MB, by tenths of the time: {memory}")
    seconds = result.scrapers.seconds
    times = ", ".join(f"{1000 * percentile(seconds, share):.0f}" for share in (0.5, 0.99, 1.0))
    tell(f"Scrapes under faults, ms: median, 99th percentile, longest: {times}")


def _tell_scale(result: Result) -> None:
    """Say for how many days at the default intervals this stands."""
    polls: Counter[str] = Counter()
    for (_, read), count in result.end.scrape.table(POLLS, "target", "collector").items():
        polls[read] += int(count)
    for read, seconds in BY_DEFAULT.items():
        days = polls[read] * seconds / DAY
        tell(f"{polls[read]:7} polls of {read}: {days:.2f} days of one target")
    scrapes = len(result.scrapers.seconds)
    days = scrapes * SCRAPE_BY_DEFAULT / DAY
    tell(f"{scrapes:7} scrapes: {days:.2f} days of one Prometheus")
    tell(f"{result.log.count('event=connected'):7} connections made anew, and those of the probes")


def _wrong(result: Result) -> Iterator[str]:
    """Yield what must not have happened at all."""
    for target in STEADY:
        for (read, reason), count in result.end.scrape.table(
            ERRORS, "collector", "reason", target=target
        ).items():
            # A poll that took too long counts as missed, on a machine that is busy with others.
            if reason != "timeout":
                yield f"{target}: {count:.0f} polls of {read} failed: {reason}"
    for failure, count in Counter(result.scrapers.failures).items():
        yield f"{count} scrapes failed: {failure}"
    for entries in _unforeseen(result.log).values():
        yield f"in the log, {len(entries)} times:\n{_cut(entries[0], ENTRY)}"


def _tell_new_series(result: Result) -> None:
    """Say of which metrics there are more series in the end."""
    before, after = (
        Counter(name for name, _ in rest.scrape.samples) for rest in (result.start, result.end)
    )
    for name, count in (after - before).most_common():
        tell(f"{count:+} series of {name}: {after[name]}")


def _unforeseen(log: str) -> dict[str, list[str]]:
    """Give what the log must not have, by its end: an exception's name and text."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for entry in re.split(r"\n(?=ts=|[A-Z]+:)", log):
        if any(word in entry for word in UNFORESEEN):
            found[entry.rstrip()[-CELL:]].append(entry)
    return found


def _cut(text: str, length: int) -> str:
    """Leave the middle of a long text out: it begins with what, and ends with why."""
    return text if len(text) <= length else f"{text[: length // 2]} [...] {text[-length // 2 :]}"


def _first_line(text: str) -> str:
    """Give the first line of a text, as long as a column may be."""
    return text.partition("\n")[0][:CELL]
