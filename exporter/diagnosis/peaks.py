"""The highest value of a window of time."""

from collections import deque


class Peak:
    """The highest of the values seen within a window, in constant time for each."""

    def __init__(self, window: float) -> None:
        """Take the length of the window in seconds."""
        self._window = window
        self._falling: deque[tuple[float, float]] = deque()

    def add(self, now: float, value: float) -> float:
        """Take the value at a time, and give the peak of the window that ends there.

        What was seen later than now was seen by the clock of another server, or before it was set.
        """
        while self._falling and (self._falling[-1][1] <= value or self._falling[-1][0] > now):
            self._falling.pop()
        self._falling.append((now, value))
        while self._falling[0][0] <= now - self._window:
            self._falling.popleft()
        return self._falling[0][1]
