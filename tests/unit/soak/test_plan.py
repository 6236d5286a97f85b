"""The plan of the soak: by chance, but the same for the same seed, and none left out."""

from itertools import islice

from tests.soak.plan import HOLD, PAUSE, plan

FAULTS = tuple("abcdefgh")


def test_the_same_seed_gives_the_same_plan() -> None:
    """What one run found can be looked for in another."""
    steps = [list(islice(plan(FAULTS, 7, "server"), 50)) for _ in range(2)]
    assert steps[0] == steps[1]
    assert steps[0][3].chance.random() == steps[1][3].chance.random()


def test_seeds_and_lanes_differ() -> None:
    """Neither do two seeds the same, nor two lanes."""
    ways = [(7, "server"), (8, "server"), (7, "exporter")]
    plans = [tuple(islice(plan(FAULTS, seed, lane), 50)) for seed, lane in ways]
    assert len(set(plans)) == 3


def test_every_fault_comes_before_any_comes_again() -> None:
    """Whatever the seed, the first round has all of them, and so has each one after it."""
    for seed in range(20):
        steps = list(islice(plan(FAULTS, seed, "server"), 3 * len(FAULTS)))
        for start in range(0, len(steps), len(FAULTS)):
            dealt = [step.fault for step in steps[start : start + len(FAULTS)]]
            assert sorted(dealt) == sorted(FAULTS)


def test_times_stay_within_their_bounds() -> None:
    """No fault lasts so long that others have no time."""
    for step in islice(plan(FAULTS, 1, "server"), 200):
        assert HOLD[0] <= step.hold <= HOLD[1]
        assert PAUSE[0] <= step.pause <= PAUSE[1]
