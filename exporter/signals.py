"""What SIGTERM and SIGINT do to the daemon: it ends soon and well, whatever it is doing.

Nothing dear may be imported here: the first handler stands before all imports.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    import asyncio

ENDING: Final = (signal.SIGTERM, signal.SIGINT)

STOP_SECONDS: Final = 1.5
"""What closing everything may take. It takes milliseconds, unless something hangs."""


def leave(*_: object) -> NoReturn:
    """End the process at once, with status 0; the kernel closes what is open."""
    os._exit(0)


def leave_on_signal() -> None:
    """End at once at a signal, while there is nothing that should be closed."""
    for number in ENDING:
        signal.signal(number, leave)
    # The file is read soon anyway; who asks for a reload now does not want our end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def cancel_on_signal(task: asyncio.Task[Any]) -> None:
    """Cancel a task at the first signal, and end soon, whatever becomes of it.

    Neither is left to the loop, which may be held up, as by a file on a disk that hangs.
    """

    def end(*_: object) -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)
        task.get_loop().call_soon_threadsafe(task.cancel)

    signal.signal(signal.SIGALRM, leave)
    for number in ENDING:
        signal.signal(number, end)
