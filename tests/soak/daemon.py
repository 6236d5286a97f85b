"""The exporter as in production, in a process that tells what its metrics do not.

    python -m tests.soak.daemon [--trace] [--leak KIND] run --config.file FILE

All but this is the command line of the product. On SIGUSR1 it writes a line of JSON to standard
output with the numbers of `answer`. With `--trace`, SIGUSR2 has it write to standard error what has
grown since the first SIGUSR2. With `--leak`, it has a fault that the soak must find.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import threading
from argparse import ArgumentParser

from exporter import __main__ as command_line
from tests.soak import heap, leaks, tracing

# asyncio keeps up to so many workers for what blocks, and starts them one by one.
POOL = "asyncio_"


def answer(*_: object) -> None:
    """Tell of tasks, threads (without asyncio's pool), Python's blocks and malloc's free bytes."""
    gc.collect()
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(POOL)]
    counts = {
        "tasks": len(asyncio.all_tasks()),
        "threads": len(threads),
        "blocks": sys.getallocatedblocks(),
        "free": heap.free_bytes(),
    }
    os.write(sys.stdout.fileno(), f"{json.dumps(counts)}\n".encode())


def main() -> None:
    """Take our own flags away, and run the product's command line."""
    parser = ArgumentParser()
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--leak", choices=leaks.KINDS)
    ours, theirs = parser.parse_known_args()
    # Python runs a handler in the main thread, which is the loop's: between two of its steps.
    signal.signal(signal.SIGUSR1, answer)
    if ours.trace:
        tracing.start(signal.SIGUSR2)
    if ours.leak:
        leaks.put_in(ours.leak)
    sys.argv[1:] = theirs
    command_line.main()


if __name__ == "__main__":
    main()
