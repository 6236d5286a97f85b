"""Days of polls, scrapes and faults in minutes, to see that nothing grows: `make soak`.

    python -m tests.soak [--seconds N] [--seed N] [--quick] [--trace] [--leak KIND]

The exporter runs in a process of its own, as in production. Five of its six targets are
PostgreSQLs, and each read comes ten times as often as by default: fifty times the pace of one.
In a first part every fault happens; what is held after it, at rest, is compared with what is held
at rest in the end. The exit status is 1 where something has grown, or was missed.
"""

import argparse
import asyncio
import logging
import random
import sys
from dataclasses import replace
from typing import Final

import aiohttp

from tests.benchmarks.harness import machine, tell
from tests.integration.watching import Watch
from tests.soak import leaks
from tests.soak.report import DAY, report
from tests.soak.run import Length, Result, Run
from tests.soak.world import world

FULL: Final = Length(rounds=10, seconds=DAY / 50, rest=10)
# A connection that a busy machine cost us is back within two seconds: half of a rest has it.
# After one round malloc has not found its size: RSS, not what is in use, grows by 3 to 5 %.
QUICK: Final = Length(rounds=1, seconds=20, rest=4, rss=0.15)


async def soak(options: argparse.Namespace) -> Result:
    """Run it."""
    length = QUICK if options.quick else FULL
    seconds = options.seconds or length.seconds
    length = replace(length, seconds=seconds, trace=options.trace)
    flags = ["--trace"] if options.trace else []
    flags += ["--leak", options.leak] if options.leak else []
    async with world(flags) as made, aiohttp.ClientSession() as session:
        return await Run(made, Watch(made.subject.url, session), length, options.seed).result()


def main() -> int:
    """Take the flags, run, and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, help="length of the second part")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the plan")
    parser.add_argument("--quick", action="store_true", help="a short one, for CI")
    parser.add_argument("--trace", action="store_true", help="tell what objects have grown")
    parser.add_argument("--leak", choices=leaks.KINDS, help="put a leak in, which must be found")
    options = parser.parse_args()
    # That its rollback fails on a server which we have killed is no news.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    tell(machine())
    tell(f"seed: {options.seed}")
    return 0 if report(asyncio.run(soak(options))) else 1


if __name__ == "__main__":
    sys.exit(main())
