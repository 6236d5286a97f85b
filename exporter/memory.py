"""How malloc keeps memory: what the daemon gives back is to go back to the system.

By itself glibc learns from large pieces that come and go, such as a page of metrics, to keep them
for later, among all the small ones, and gives each thread a heap of its own. Over days the process
grows by pieces that fit nothing.
"""

import ctypes
from typing import Final

# Of mallopt(3). To set a threshold ends glibc's learning; this is its first value.
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE: Final = 128 * 1024


def give_back() -> None:
    """Have large pieces mapped, each by itself, and one heap for all threads.

    Another C library than glibc is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, 1)
