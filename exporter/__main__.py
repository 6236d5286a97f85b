"""Run the command line: `python -m exporter`, and the console script `pgconn-exporter`."""

import sys
from typing import Final

from exporter.signals import ending

_TOP_LEVEL_FLAGS: Final = ("-h", "--help", "--version")


def main() -> None:
    """Run a command; `run`, the daemon, is the default one."""
    arguments = with_command(sys.argv[1:])
    if arguments[0] == "run":
        # Before the imports, which take half a second: SIGTERM would end us with another status
        # than 0 meanwhile, or do nothing to the first process of a container.
        ending.start()
    from exporter.cli import app  # noqa: PLC0415

    app(args=arguments)


def with_command(arguments: list[str]) -> list[str]:
    """Put the default command in front, where none is given.

    >>> with_command(["--log.level", "debug"])
    ['run', '--log.level', 'debug']
    """
    first = arguments[0] if arguments else "-"
    given = not first.startswith("-") or first in _TOP_LEVEL_FLAGS
    return arguments if given else ["run", *arguments]


if __name__ == "__main__":
    main()
