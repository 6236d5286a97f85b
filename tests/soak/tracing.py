"""Who holds the memory that has grown: counts of objects by type, and allocations by line."""

import gc
import signal
import sys
import tracemalloc
from collections import Counter
from typing import Final

SHOWN: Final = 15
FRAMES: Final = 3

LOOK, LOOKED = "--- grown since the first look:", "--- that is all"


class Tracer:
    """Compare with the first look; its own memory counts, too."""

    def __init__(self) -> None:
        self._types: Counter[str] | None = None
        self._lines: tracemalloc.Snapshot | None = None

    def look(self, *_: object) -> None:
        """Take the first look, and write to standard error what has grown since it."""
        gc.collect()
        types = Counter(type(thing).__qualname__ for thing in gc.get_objects())
        lines = tracemalloc.take_snapshot()
        grown: list[str] = []
        if self._types is None or self._lines is None:
            self._types, self._lines = types, lines
        else:
            more = (types - self._types).most_common(SHOWN)
            grown = [f"{count:+} objects of {name}" for name, count in more]
            for line in lines.compare_to(self._lines, "traceback")[:SHOWN]:
                grown += [str(line), *line.traceback.format()]
        sys.stderr.write("\n".join([LOOK, *grown, LOOKED, ""]))
        sys.stderr.flush()


def start(number: signal.Signals) -> None:
    """Trace from now on, and look whenever a signal comes."""
    tracemalloc.start(FRAMES)
    signal.signal(number, Tracer().look)
