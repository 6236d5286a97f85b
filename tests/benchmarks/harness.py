"""What the benchmarks share: processor time, medians, and tables to print them in.

Processor time rather than time on the clock, wherever there is a choice: it says the same on a
machine that others use, too.
"""

import argparse
import gc
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import thread_time

import psutil
from rich.console import Console
from rich.table import Table

WIDTH = 110
NANOSECONDS = 1e9
MEGABYTE = 1e6

console = Console(width=WIDTH, highlight=False, emoji=False)


def cpu_seconds(pid: int) -> float:
    """Give the processor time that a process and its threads have used."""
    try:
        # To the nanosecond, where the kernel keeps it; /proc/PID/stat counts in 10 ms.
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / NANOSECONDS
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


def resident(pid: int) -> float:
    """Give the megabytes that a process has in memory."""
    return float(psutil.Process(pid).memory_info().rss) / MEGABYTE


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Give the median of the processor time of some rounds, in our thread."""
    times = []
    work()
    gc.collect()
    for _ in range(rounds):
        start = thread_time()
        work()
        times.append(thread_time() - start)
    return 1000 * median(times)


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value below which a share of all values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: its first column names the row, the others are figures."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*row)
    console.print(table, "")


def tell(text: str) -> None:
    """Print a line of plain text."""
    console.print(text, markup=False)


def machine() -> str:
    """Describe the machine as far as it matters."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, {platform.machine()}, {cores} cores,"
        f" {memory / 1e9:.0f} GB; load average before: {load:.1f}"
    )


def options(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a benchmark's flags."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for CI")
    return parser
