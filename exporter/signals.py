"""What SIGTERM and SIGINT do to the daemon: it ends soon and well, whatever it is doing.

Nothing dear is imported here, because this is in force before all other imports.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio

STOP_SECONDS: Final = 1.2
"""What closing everything may take. It takes milliseconds, unless something hangs."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Ending(threading.Thread):
    """Cancels `task` at the first signal, and ends the process, whatever becomes of that.

    A handler would run in the main thread, once that comes to it: not while it waits for a file.
    """

    task: asyncio.Task[Any] | None = None

    def __init__(self) -> None:
        super().__init__(name="signals", daemon=True)

    def start(self) -> None:
        """Take the signals from all other threads, which must not have been started yet.

        SIGHUP, which would end us too, waits until `hangups_are_handled`.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {*_SIGNALS, signal.SIGHUP})
        super().start()

    def run(self) -> None:
        """Wait for a signal; without a task, nothing is open that should be closed."""
        signal.sigwait(_SIGNALS)
        if self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)
            time.sleep(STOP_SECONDS)
        os._exit(0)


ending: Final = Ending()
"""That of this process; it does nothing until it is started."""


def hangups_are_handled() -> None:
    """Let SIGHUP come, also one that came before its handler did."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
