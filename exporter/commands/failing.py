"""How a command ends that cannot do what was asked: one clear line, and a status."""

from typing import Final

import typer

EXIT_INVALID: Final = 1
EXIT_USAGE: Final = 2


def fail(message: str, code: int = EXIT_USAGE) -> typer.Exit:
    """Say what is wrong on standard error; the result is to be raised."""
    typer.echo(message, err=True)
    return typer.Exit(code)
