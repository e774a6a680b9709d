import pytest
from whole_relay import whole_relay


@pytest.fixture
async def whole(tmp_path):
    async with whole_relay(tmp_path / "state") as one:
        yield one
