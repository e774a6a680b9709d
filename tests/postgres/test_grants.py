"""The stores of grants, held to one contract; and what the database has of a grant."""

import asyncio
from dataclasses import replace

import pytest

from relay.grants import Grant, GrantError, GrantReplacedError, Mark
from relay.postgres.database import Connecting
from relay.postgres.grants import AesSeal, PostgresGrants
from relay.postgres.server import Address
from relay.works.auth.files import FileGrants
from tests.support import postgres
from tests.support.cut import Cut

GRANT = Grant("AAA-secret", 2e9, "RRR-secret", 1e9, 1e9, 1e9, scope="mail")
RENEWED = replace(GRANT, access_token="BBB-secret", refresh_token="SSS-secret", issued_at=1.1e9)


def on(url, key=postgres.KEY, node=None):
    return PostgresGrants(Connecting(Address(url)), AesSeal(key), node)


@pytest.fixture(params=["files", "postgresql"])
def make(request, tmp_path):
    """Makes a store as another process would, with the same grants in it."""
    if request.param == "files":
        return lambda: FileGrants(tmp_path)
    url = postgres.server().url(postgres.server().make(), "relay")
    return lambda: on(url)


async def test_what_is_stored_is_there_for_every_process(make):
    store = make()
    assert await store.load("scanner") is None
    assert await store.version("scanner") is None
    version = await store.store("scanner", GRANT)
    assert await make().load("scanner") == GRANT
    assert await make().version("scanner") == version == await store.version("scanner")
    await store.remove("scanner")
    assert await make().load("scanner") is None
    assert await store.version("scanner") is None
    await store.remove("scanner")


async def test_marks_change_no_version_and_survive_a_refresh(make):
    store = make()
    version = await store.store("scanner", GRANT)
    await store.mark("scanner", GRANT.fingerprint, Mark.USED, 5.0)
    await store.mark("scanner", GRANT.fingerprint, Mark.REFRESH_STARTED, 6.0)
    assert (await store.load("scanner")).refresh_started_at == 6.0
    assert await make().version("scanner") == version
    await store.confirm("scanner", GRANT.fingerprint, 7.0)
    assert await make().version("scanner") != version
    version = await store.store("scanner", RENEWED, replaces=GRANT.fingerprint)
    assert await make().version("scanner") == version
    assert await store.load("scanner") == replace(RENEWED, used_at=5.0, confirmed_at=7.0)


async def test_a_grant_that_was_replaced_is_neither_replaced_nor_marked(make):
    """Whoever was slow must not undo what somebody else has stored meanwhile."""
    store = make()
    await store.store("scanner", GRANT)
    other = RENEWED.fingerprint
    for change in (
        store.store("scanner", RENEWED, replaces="another"),
        store.mark("scanner", other, Mark.USED, 5.0),
        store.confirm("scanner", other, 5.0),
    ):
        with pytest.raises(GrantReplacedError):
            await change
    assert await store.load("scanner") == GRANT


async def test_one_process_refreshes_at_a_time(make):
    """With rotation on, two refreshes by one token end the grant."""
    first, second = make(), make()
    await first.store("scanner", GRANT)
    async with first.refreshing("scanner") as ours, second.refreshing("scanner") as theirs:
        assert (ours, theirs) == (True, False)
    async with second.refreshing("scanner") as theirs:
        assert theirs


async def test_the_next_start_of_a_node_takes_over_the_refresh_that_the_last_one_died_in(database, url):
    """It need not wait until the dead one's time is over; any other node must."""
    await on(url).store("scanner", GRANT)
    for token, home in ((1, "one"), (2, "one"), (3, "other")):
        postgres.server().sql(
            "INSERT INTO relay.node (token, name, home, program, started, seen)"
            f" VALUES ({token}, 'node', '{home}', '', 0, 0)",
            database,
        )
    dead, again, other = (on(url, node=token) for token in (1, 2, 3))
    async with dead.refreshing("scanner") as ours:
        assert ours
        for one in (other, on(url), dead):
            async with one.refreshing("scanner") as theirs:
                assert not theirs
        async with again.refreshing("scanner") as theirs:
            assert theirs


@pytest.fixture
def url(database):
    return postgres.server().url(database, "relay")


async def test_the_database_has_no_token(url, database):
    """A backup of it lies somewhere for years."""
    await on(url).store("scanner", GRANT)
    ((row,),) = postgres.server().sql("SELECT account_grant::text FROM relay.account_grant", database)
    assert "secret" not in row
    assert b"secret".hex() not in row


async def test_another_key_opens_nothing(url):
    await on(url).store("scanner", GRANT)
    with pytest.raises(GrantError, match="key_file"):
        await on(url, "A" * 43 + "=").load("scanner")


def test_what_was_changed_is_not_opened():
    seal = AesSeal(postgres.KEY)
    closed = bytearray(seal.close(b"octets"))
    assert seal.open(bytes(closed)) == b"octets"
    closed[-1] ^= 1
    with pytest.raises(ValueError, match="changed"):
        seal.open(bytes(closed))
    with pytest.raises(ValueError, match="not sealed"):
        seal.open(b"octets")


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_refresh_whose_commit_breaks_is_stored(database, tmp_path, lost):
    """What it brought exists once in the world: the old refresh token is dead."""
    folder = tmp_path / "cut"
    folder.mkdir()
    async with Cut(postgres.server(), folder) as cut:
        store = on(cut.url(database))
        await store.store("scanner", GRANT)
        cut.arm(lost, b"UPDATE relay.account_grant")
        await store.store("scanner", RENEWED, replaces=GRANT.fingerprint)
        assert cut.done == 1
        assert await store.load("scanner") == RENEWED


async def test_an_outage_of_the_database_forgets_no_version(database, tmp_path):
    """Else every account would look as if somebody had logged out."""
    folder = tmp_path / "cut"
    folder.mkdir()
    async with Cut(postgres.server(), folder) as cut:
        store = on(cut.url(database))
        version = await store.store("scanner", GRANT)
        assert await store.version("scanner") == version
        cut.go_away()
        await asyncio.sleep(1.1)  # a look is good for a second
        assert await store.version("scanner") == version


async def test_a_command_asks_a_server_once_that_it_cannot_reach():
    """It asked for each account again, and a person waited ten seconds for each."""
    asked = []

    async def hang_up(_, writer):
        asked.append(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = on(f"postgresql://relay@127.0.0.1:{port}/relay?sslmode=disable")
        for account in ("scanner", "erp"):
            with pytest.raises(GrantError, match="the database"):
                await store.load(account)
    assert asked == [1]
