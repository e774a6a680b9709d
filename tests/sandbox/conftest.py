import pytest
from tests_sandbox import running


@pytest.fixture
async def works():
    async with running() as one:
        yield one
