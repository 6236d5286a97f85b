"""Times as they may stand in a setting, with what PostgreSQL makes of them."""

from typing import Final

MILLISECONDS: Final[dict[str, int | None]] = {
    "0": 0,
    "25000": 25000,
    " 25 s ": 25000,
    "25s": 25000,
    "25\ts": 25000,
    "+25s": 25000,
    "1min": 60000,
    "1 min": 60000,
    "0.5 h": 1_800_000,
    ".5h": 1_800_000,
    "1.h": 3_600_000,
    "2d": 172_800_000,
    "1500us": 2,
    "2500us": 2,  # a half goes to the even neighbour
    "3500us": 4,
    "499us": 0,
    "0.0004s": 0,
    "0.0015s": 2,
    "0.00001d": 0,  # a fraction of days is rounded to hours first
    "1.00001h": 3_600_000,
    "1.5ms": 2,
    "1.4": 1,
    "2.5": 2,
    "1e3": 1000,
    "1E3ms": 1000,
    "1.5e1s": 15000,
    "0x10": 16,
    "0X1Fs": 31000,
    "0x1.8": 2,
    "0x1e3": 483,
    "010": 8,
    "010s": 8000,
    "010.5": 10,  # strtod knows no octal
    " .5h": None,  # strtol's way: without a digit it goes back to the start
    "+.5h": None,
    "1e999": None,
    "1e999s": None,
    "9" * 400: None,
    "0x1.8p5000": None,
    "": None,
    "s": None,
    "25 S": None,
    "25sec": None,
    "25 s s": None,
    "25,5s": None,
    "08": None,
    "0x": None,
    "1e": None,
    "e3": None,
    ".": None,
    "inf": None,
    "nan": None,
    "25kB": None,
    "- 5": None,
}
"""What statement_timeout becomes, in milliseconds; None is refused."""

SECONDS: Final[dict[str, int | None]] = {
    "25": 25,
    "25s": 25,
    "1500ms": 2,
    "2500ms": 2,
    "400ms": 0,
    "1500000us": 2,
    "0.5 h": 1800,
    "0.51min": 31,
    "1.5": 2,
    "0x10min": 960,
    "25 kB": None,
}
"""What tcp_keepalives_idle becomes, in seconds; None is refused. 0 reads back as the kernel's."""
