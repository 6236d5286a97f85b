"""What happens when, by chance: the same for the same seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

HOLD: Final = 0.2, 1.5
PAUSE: Final = 0.1, 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: how long it lasts, and how long it is quiet afterwards, both in seconds.

    What the fault itself leaves to chance comes from `seed`.
    """

    fault: str
    hold: float
    pause: float
    seed: int

    @property
    def chance(self) -> Random:
        """Give a chance of the step's own, always from its beginning."""
        return Random(self.seed)


def plan(faults: Sequence[str], seed: int, lane: str) -> Iterator[Step]:
    """Deal the faults of a lane for ever: each once, in any order, before any comes again."""
    chance = Random(f"{seed} {lane}")
    while True:
        for fault in chance.sample(faults, len(faults)):
            yield Step(fault, chance.uniform(*HOLD), chance.uniform(*PAUSE), chance.getrandbits(32))
