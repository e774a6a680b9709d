import pytest

from tests.support.sandbox import running


@pytest.fixture
async def works():
    async with running() as one:
        yield one
