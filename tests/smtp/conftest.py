"""One relay for the tests that do not change it."""

import pytest

from tests.support.smtp import House


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    with House(tmp_path_factory.mktemp("house")) as running:
        yield running
