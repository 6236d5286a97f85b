"""Look-ups of names that need no name server."""

import asyncio
import contextlib

import pytest

from exporter.server.errors import PollTimeoutError, RefusedError
from exporter.server.names import look_up, look_up_all

PATIENCE = 10.0


async def test_a_name_with_an_address() -> None:
    """Each address is told once."""
    found = await look_up("localhost", PATIENCE)
    assert found
    assert set(found) <= {"127.0.0.1", "::1"}
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".test"])
async def test_what_is_no_name(name: str) -> None:
    """What no name server can be asked for is refused, and said to be no name."""
    with pytest.raises(RefusedError, match=r"failed to resolve host .*: not a host name"):
        await look_up(name, PATIENCE)


def test_an_event_loop_that_ended() -> None:
    """A look-up that was begun in another event loop is none of ours."""

    async def give_up() -> None:
        with contextlib.suppress(PollTimeoutError):
            await look_up("localhost", 0)

    asyncio.run(give_up())
    assert asyncio.run(look_up("localhost", PATIENCE))


async def test_several() -> None:
    """The good ones are told, and what is wrong with the others."""
    found, errors = await look_up_all(("localhost", "a..b"), PATIENCE)
    assert found["localhost"]
    assert found["a..b"] == ()
    assert [type(error) for error in errors] == [RefusedError]
