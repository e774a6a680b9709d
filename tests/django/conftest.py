"""A site whose mail goes to a relay against a simulated Works, by `relay.django.testing`."""

import pytest

from relay.django.testing import relay_outbox
from tests.support.django_site import configure

configure()


@pytest.fixture(scope="module")
def one_outbox():
    with relay_outbox() as outbox:
        yield outbox


@pytest.fixture
def outbox(one_outbox):
    one_outbox.clear()
    return one_outbox
