"""Statements from one look to the next: what is recent, and what is worth showing."""

import random
from collections import Counter
from typing import Final

import pytest

from exporter.diagnosis.statements import (
    RANKINGS,
    STICKY_SECONDS,
    Selection,
    StatementFigures,
    StatementHistory,
    StatementKey,
    leaders,
)
from exporter.snapshot import StatementRow
from tests.unit.rows import NOW, statement

KEY: Final = StatementKey("shop", "app", 1)
LIMIT: Final = 1000


def advance(*looks: list[StatementRow]) -> dict[StatementKey, StatementFigures]:
    """Look several times, and give the figures of the last look."""
    history, figures = StatementHistory(), dict[StatementKey, StatementFigures]()
    for rows in looks:
        figures = history.advance(rows)
    return figures


def recent(before: StatementRow | None, after: StatementRow) -> tuple[int, float]:
    """Give the recent calls and seconds of an entry that was seen before, or was not."""
    figures = advance([] if before is None else [before], [after])[KEY]
    return figures.recent_calls, figures.recent_seconds


def test_the_first_look_has_no_recent_figures() -> None:
    """What was counted before we came did not happen lately."""
    figures = advance([statement(calls=10, seconds=5, rows=20)])
    assert figures == {KEY: StatementFigures(10, 5, 20, 0, 0)}
    assert figures[KEY].mean == 0.5
    assert figures[KEY].recent_mean is None


def test_recent_is_the_difference() -> None:
    """The mean of the last window can be far above the mean of a life."""
    before, after = statement(calls=1000, seconds=1), statement(calls=1001, seconds=3, rows=1001)
    figures = advance([before], [after])[KEY]
    assert figures == StatementFigures(1001, 3, 1001, 1, 2)
    assert figures.recent_mean == 2


def test_no_calls_in_the_window() -> None:
    """Without calls there is no recent mean, not a mean of zero."""
    figures = advance([statement(calls=5, seconds=9)], [statement(calls=5, seconds=9)])[KEY]
    assert (figures.recent_calls, figures.recent_seconds, figures.recent_mean) == (0, 0, None)


def test_a_new_entry_is_recent() -> None:
    """All of it happened since the last look."""
    assert recent(None, statement(calls=3, seconds=6)) == (3, 6)


def test_a_reset_that_the_counter_shows() -> None:
    """An entry that counts less than before began anew."""
    assert recent(statement(calls=10, seconds=5), statement(calls=4, seconds=8)) == (4, 8)


def test_a_reset_that_the_entry_tells() -> None:
    """From 1.11 on a reset is seen even where the counter is higher than it was."""
    before = statement(calls=10, seconds=5, stats_since=NOW - 99)
    assert recent(before, statement(calls=12, seconds=8, stats_since=NOW - 1)) == (12, 8)
    assert recent(before, statement(calls=12, seconds=8, stats_since=NOW - 99)) == (2, 3)


def test_an_update_of_the_extension() -> None:
    """When stats_since appears, nobody knows what the entry counted before."""
    before = statement(calls=10, seconds=5)
    assert recent(before, statement(calls=12, seconds=8, stats_since=NOW - 99)) == (12, 8)


def test_a_reset_that_was_overtaken() -> None:
    """Where there were more calls since than before, time or rows still tell of the reset."""
    before = statement(calls=2, seconds=10, rows=5)
    assert recent(before, statement(calls=3, seconds=0.3, rows=5)) == (3, 0.3)
    assert recent(before, statement(calls=3, seconds=11, rows=4)) == (3, 11)


def test_a_reset_of_all_that_the_extension_tells() -> None:
    """From 1.9 on, all that is counted after a reset of everything is recent, and only once."""
    history = StatementHistory()
    history.advance([statement(calls=2, seconds=1)], NOW - 99)
    more = [statement(calls=3, seconds=9, rows=3)]
    assert history.advance(more, NOW - 1)[KEY].recent_mean == 3
    assert history.advance(more, NOW - 1)[KEY].recent_calls == 0
    history.interrupt()
    assert history.advance(more, NOW)[KEY].recent_calls == 0


def test_an_update_of_the_extension_that_tells_of_resets() -> None:
    """When the time of the last reset appears, that is no reset."""
    history = StatementHistory()
    history.advance([statement(calls=2, seconds=1)])
    assert history.advance([statement(calls=3, seconds=9)], NOW - 99)[KEY].recent_calls == 1


def test_eviction_and_return() -> None:
    """An entry that was thrown out and came back counts from zero, and only once."""
    history = StatementHistory()
    history.advance([statement(calls=10, seconds=5)])
    assert history.advance([]) == {}
    back = history.advance([statement(calls=2, seconds=1)])[KEY]
    assert (back.recent_calls, back.recent_seconds) == (2, 1)
    after = history.advance([statement(calls=2, seconds=1)])[KEY]
    assert after.recent_calls == 0


def test_after_an_interruption_the_look_is_the_first() -> None:
    """What happened while we could not look is not recent."""
    history = StatementHistory()
    history.advance([statement(calls=10, seconds=5)])
    history.interrupt()
    assert history.advance([statement(calls=90, seconds=99)])[KEY].recent_calls == 0
    assert history.advance([statement(calls=91, seconds=100)])[KEY].recent_calls == 1


def test_nested_calls_count_together() -> None:
    """A statement has one set of figures, called from a client or from a function."""
    before = [statement(calls=10, seconds=5, rows=1)]
    nested = statement(toplevel=False, calls=3, seconds=6, rows=2)
    figures = advance(before, [statement(calls=11, seconds=6, rows=2), nested])
    assert figures == {KEY: StatementFigures(14, 12, 4, 4, 7)}


def test_one_reset_of_two() -> None:
    """A reset is seen for each entry by itself, though they show as one statement."""
    before = [statement(calls=10, seconds=10), statement(toplevel=False, calls=10, seconds=10)]
    after = [statement(calls=1, seconds=1), statement(toplevel=False, calls=12, seconds=14)]
    assert advance(before, after) == {KEY: StatementFigures(13, 15, 2, 3, 5)}


def test_roles_and_databases_that_were_dropped() -> None:
    """Their entries stay, without a name, and add up."""
    rows = [
        statement(userid=1, usename=None, calls=1),
        statement(userid=2, usename=None, calls=2),
        statement(userid=2, dbid=8, usename=None, datname=None, calls=4),
    ]
    calls = {key: figures.calls for key, figures in advance(rows).items()}
    assert calls == {StatementKey("shop", "", 1): 3, StatementKey("", "", 1): 4}


def test_a_role_that_is_renamed() -> None:
    """The entry is the same, so its calls are not recent again."""
    before, after = statement(calls=10), statement(calls=11, usename="renamed")
    assert advance([before], [after])[StatementKey("shop", "renamed", 1)].recent_calls == 1


def test_recent_figures_add_up() -> None:
    """Whatever happens between looks, what is recent is what was counted since."""
    chance = random.Random(1)
    history, counted, recent_calls = StatementHistory(), Counter[int](), 0
    history.advance([])
    entries: dict[int, tuple[int, int]] = {}
    for look in range(300):
        for queryid in range(4):
            calls, since = entries.get(queryid, (0, look))
            if chance.random() < 0.2:
                calls, since = 0, look
            more = chance.randint(0, 3)
            counted[queryid] += more
            entries[queryid] = calls + more, since
        rows = [
            statement(queryid, calls=calls, seconds=calls / 4, stats_since=since)
            for queryid, (calls, since) in entries.items()
        ]
        figures = history.advance(rows)
        recent_calls += sum(figure.recent_calls for figure in figures.values())
        for figure in figures.values():
            assert figure.recent_seconds == figure.recent_calls / 4
    assert recent_calls == counted.total()


def figures(
    calls: int, seconds: float, recent_calls: int = 0, recent_seconds: float = 0
) -> StatementFigures:
    """Make figures whose rows do not matter."""
    return StatementFigures(calls, seconds, 0, recent_calls, recent_seconds)


def keyed(**by_name: StatementFigures) -> dict[StatementKey, StatementFigures]:
    """Give each statement a key that is called by its database."""
    return {StatementKey(name, "app", 1): figure for name, figure in by_name.items()}


def test_the_three_rankings() -> None:
    """The first by mean, by recent mean and by recent total are exported, and no others."""
    there = keyed(
        slow=figures(1, 9),
        slow_lately=figures(1000, 10, 2, 4),
        busy_lately=figures(1000, 10, 100, 10),
        fast=figures(1000, 1, 10, 1),
    )
    names = {key.datname for key in Selection(1, LIMIT).select(NOW, there)}
    assert names == {"slow", "slow_lately", "busy_lately"}
    assert len(Selection(2, LIMIT).select(NOW, there)) == 4


@pytest.mark.parametrize("top", [1, 2, 3, 10])
def test_leaders(top: int) -> None:
    """A ranking has its first statements, as many as there are."""
    there = keyed(a=figures(1, 1), b=figures(1, 3), c=figures(1, 2))
    assert [key.datname for key in leaders(there, RANKINGS[0], top)] == ["b", "c", "a"][:top]


def test_nothing_to_show() -> None:
    """At the first look nothing is ranked by what is recent; what took no time never is."""
    there = keyed(a=figures(5, 0), b=figures(1, 1))
    assert [key.datname for key in Selection(9, LIMIT).select(NOW, there)] == ["b"]


def test_ties_are_decided_the_same_way() -> None:
    """Of statements that are alike, the same ones are exported whatever their order."""
    there = keyed(**{f"db{n}": figures(1, 1) for n in range(9)})
    backwards = dict(reversed(there.items()))
    assert (
        Selection(3, LIMIT).select(NOW, there).keys()
        == Selection(3, LIMIT).select(NOW, backwards).keys()
    )


def test_a_statement_stays_for_a_while() -> None:
    """Once it drops out, it is still exported for 15 minutes, with the figures of now."""
    selection = Selection(1, LIMIT)
    selection.select(NOW, keyed(old=figures(1, 5), new=figures(1, 4)))
    overtaken = keyed(old=figures(2, 6), new=figures(1, 7))
    for later in (0, 1, STICKY_SECONDS):
        assert selection.select(NOW + later, overtaken) == overtaken
    assert selection.select(NOW + STICKY_SECONDS + 1, overtaken) == keyed(new=figures(1, 7))
    assert STICKY_SECONDS == 900


def test_leading_again_counts_anew() -> None:
    """The 15 minutes begin when a statement last was among the first."""
    selection = Selection(1, LIMIT)
    first, second = keyed(a=figures(1, 5), b=figures(1, 4)), keyed(a=figures(1, 5), b=figures(1, 6))
    selection.select(NOW, first)
    selection.select(NOW + 600, second)
    selection.select(NOW + 1200, first)
    assert len(selection.select(NOW + 1200 + 899, second)) == 2


def test_a_clock_that_is_behind() -> None:
    """The statements of a server whose clock was ahead do not stay for as long as it was."""
    selection = Selection(1, LIMIT)
    first, second = keyed(a=figures(1, 5), b=figures(1, 4)), keyed(a=figures(1, 5), b=figures(1, 6))
    selection.select(NOW + 7200, first)
    assert selection.select(NOW, second) == second
    assert selection.select(NOW + STICKY_SECONDS + 1, second) == keyed(b=figures(1, 6))


def test_limit_of_all() -> None:
    """However long statements stay, there are never more than the limit: the newest leaders."""
    selection = Selection(1, 2)
    for number in range(5):
        shown = selection.select(
            NOW + number, keyed(**{f"db{n}": figures(1, 1 + (n == number)) for n in range(5)})
        )
        assert f"db{number}" in {key.datname for key in shown}
        assert len(shown) <= 2


def test_only_what_is_there() -> None:
    """A statement that was thrown out is not exported, and is not remembered either."""
    selection = Selection(1, LIMIT)
    selection.select(NOW, keyed(gone=figures(1, 9)))
    assert selection.select(NOW + 1, keyed(a=figures(1, 5))) == keyed(a=figures(1, 5))
    back = keyed(gone=figures(1, 1), a=figures(1, 5))
    assert selection.select(NOW + 2, back) == keyed(a=figures(1, 5))
    assert selection.select(NOW + 3, {}) == {}
