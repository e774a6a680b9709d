"""The primary is lost and its replica goes on: with strict replication nothing acknowledged is gone."""

import asyncio

import pytest

from relay.spool import State
from tests.support import postgres
from tests.support.submissions import make_submission


@pytest.fixture
def pair():
    """A primary and its synchronous replica."""
    primary = postgres.Server()
    replica = postgres.Server(follows=primary)
    primary.wait_for_replica(strictly=True)
    yield primary, replica
    replica.remove()
    primary.remove()


async def test_mail_goes_on_at_the_promoted_replica_and_none_is_lost(pair, tmp_path):
    """The relay finds the new primary by itself: the URL names both, and asks for the one that writes."""
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.server import Address

    primary, replica = pair
    name = primary.make()
    hosts = f"host={primary.folder},{replica.folder}"
    address = Address(f"postgresql:///{name}?{hosts}&user=relay&target_session_attrs=read-write")
    spool = PostgresSpool(Options(tmp_path, "node", address, patience=60.0))
    await spool.open()
    ids = [await spool.put(make_submission(spool), "scanner") for _ in range(5)]
    primary.kill()
    under_way = [asyncio.create_task(spool.put(make_submission(spool), "scanner")) for _ in range(5)]
    await asyncio.to_thread(replica.promote)
    replica.wait_for_replica(strictly=False)
    ids += await asyncio.gather(*under_way)
    entries = await spool.list([State.QUEUED], 100)
    assert sorted(one.queue_id for one in entries) == sorted(ids)
    await spool.close()
