"""What glibc's malloc has taken from the kernel, and does not use now.

It keeps what was freed between pieces that are in use. So RSS goes up with each coincidence of
large requests, until it has found its size: that is no leak, and would hide a small one.
"""

import ctypes
from functools import cache
from typing import Any, Final

FIELDS: Final = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class Mallinfo(ctypes.Structure):
    """The result of mallinfo2(3): of bytes that are free, `fordblks`."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in FIELDS)


@cache
def _mallinfo() -> Any:  # noqa: ANN401 - as ctypes has it
    function = ctypes.CDLL(None).mallinfo2
    function.restype = Mallinfo
    return function


def free_bytes() -> int:
    """Give how many bytes of this process are free, and not the kernel's."""
    return int(_mallinfo()().fordblks)
