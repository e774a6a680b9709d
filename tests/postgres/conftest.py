"""What the tests of PostgreSQL share."""

import contextlib

import pytest

from tests.support import postgres


@pytest.fixture
def database():
    """A database with the relay's tables, and nothing in them."""
    return postgres.server().make()


@pytest.fixture
async def opened(database, tmp_path):
    """Opens engines on it; they are closed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(name="node", **options):
            folder = tmp_path / options.pop("home", name)
            spool = postgres.open_spool_on(database, folder, name=name, **options)
            await spool.open()
            stack.push_async_callback(spool.close)
            return spool

        yield open_one
