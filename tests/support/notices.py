"""What the tests of notices share."""

from contextlib import asynccontextmanager

from tests.support.relay import relaying, until

QUICK = {"wait": "0s", "retry": ["1m"], "give_up_after": "2m"}
TWO = [
    {"name": "scanner", "address": "scanner@example.com", "default": True},
    {"name": "erp", "address": "erp@example.com"},
]


def text_of(relay, number=-1):
    return relay.sandbox.request(relay.sandbox.messages[number].id)


@asynccontextmanager
async def refusing(tmp_path, **delivery):
    """A relay whose next message fails for good after its 250."""
    async with relaying(tmp_path / "state", delivery=QUICK | delivery) as relay:
        relay.sandbox.add_fault("400")
        yield relay


async def told(relay):
    """The notice that Works was given."""
    await until(lambda: relay.sandbox.messages)
    return text_of(relay)
