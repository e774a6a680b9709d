"""A proxy, a portal or a filter answers everything for a while: no mail fails by it, and all of it goes."""

import contextlib

import pytest

from relay.spool import State
from tests.support.relay import relaying, until

# Beyond every wait between two attempts in an outage, and between two probes; 20 of them are less than a day.
LATER = 3700  # seconds


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 406, 413, 429, 502, 503, 511, 520])
async def test_it_bounces_nothing_and_drains_when_it_is_over(tmp_path, status):
    """A proxy that answered 400 to everything bounced 30 of 30, and the notices about them as well."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("wrong-content-type", status=status, times=0)
        waiting = [await relay.put(subject=f"m{number}") for number in range(6)]
        await until(lambda: relay.sandbox.counts()["most_in_flight"] and not relay.service.courier.under_way)
        assert not await relay.service.spool.list([State.FAILED], 10)
        relay.sandbox.faults.clear()

        async def drained():
            return all([(await relay.entry(one)).state is State.RELAYED for one in waiting])

        for _ in range(20):
            relay.pass_time(LATER)
            with contextlib.suppress(AssertionError):
                await until(drained, patience=2)
                break
        assert await drained()
        assert sorted(relay.subjects()) == [f"m{number}" for number in range(6)]
