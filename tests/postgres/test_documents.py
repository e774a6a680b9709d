"""Small texts that every node goes by: in files on one node, in the database on several."""

import asyncio
import contextlib

import pytest

from relay.config.current import Current
from relay.config.load import build
from relay.config.model import Device
from relay.devices.adopted import Adopted, CannotAdopt
from relay.host.clock import Clock
from relay.host.documents import LOGINS, Document, DocumentError, FileDocuments
from relay.postgres.database import Connecting, Database
from relay.postgres.documents import PostgresDocuments
from relay.postgres.node import Node, Times
from relay.postgres.server import Address
from relay.postgres.words import Words
from relay.smtp.known_logins import KnownLogins
from tests.support import postgres

NAME = "told.json"


def address(database):
    return Address(postgres.server().url(database, "relay"))


@pytest.fixture
async def join(database):
    """Makes nodes of one database; each looks for itself, unless it is told to wait for words alone."""
    async with contextlib.AsyncExitStack() as stack:

        async def join_one(name="a", home="0" * 32):
            pools = Database(address(database))
            await pools.open()
            stack.push_async_callback(pools.close)
            node = Node(pools, name, Clock(), Times())
            node.home = home
            words = Words(pools, address(database), node.token)
            words.note_others(alive=True)
            words.start()
            stack.push_async_callback(words.stop)
            documents = PostgresDocuments(pools, node, words)
            stack.push_async_callback(documents.close)
            await documents.look()
            watching = asyncio.create_task(documents.watch())
            stack.callback(watching.cancel)
            return documents

        yield join_one


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(params=["files", "database"])
def documents(request, tmp_path):
    if request.param == "files":
        return FileDocuments(tmp_path)
    return PostgresDocuments(Connecting(address(request.getfixturevalue("database"))))


async def test_a_document_is_written_in_place_of_the_one_that_was_read(documents):
    assert await documents.load(NAME) == Document()
    first = await documents.store(NAME, "one\n日本語", 0)
    assert await documents.load(NAME) == Document("one\n日本語", first)
    assert await documents.store(NAME, "another one", 0) is None
    second = await documents.store(NAME, "two", first)
    assert await documents.store(NAME, "late", first) is None
    assert await documents.load(NAME) == Document("two", second)


async def test_a_change_is_made_to_what_another_has_written_meanwhile(documents, request):
    """Of two that add a line at the same time neither takes the other's away."""
    written = []

    def add(text):
        if not written:
            written.append(text)
            meanwhile(text + "other\n")
        return text + "mine\n"

    def meanwhile(text):
        if isinstance(documents, FileDocuments):
            (documents._folder / NAME).write_text(text)
        else:
            postgres.server().sql(
                f"INSERT INTO relay.document VALUES ('{NAME}', 7, '{text}')",
                request.getfixturevalue("database"),
            )

    await documents.change(NAME, add)
    assert (await documents.load(NAME)).text == "other\nmine\n"


@pytest.mark.parametrize("hears", [True, False])
async def test_what_one_node_changes_the_other_hears(join, hears):
    """By a word at once; and who hears no words, behind a pooler, finds it by looking."""
    here, there = await join(), await join("b")
    if not hears:
        there._words._listeners.clear()
    texts = []
    there.follow(NAME, texts.append)
    await here.change(NAME, lambda text: text + "1")
    await until(lambda: texts)
    await there.change(NAME, lambda text: text + "2")
    assert texts == ["1", "12"]
    assert (await here.load(NAME)).text == "12"


async def test_nodes_of_one_name_are_told_from_each_other(join):
    """They have one configuration, and it may name them."""
    assert (await join("relay", "a" * 32)).node != (await join("relay", "b" * 32)).node


async def test_a_login_at_one_node_is_known_to_the_other(join):
    """Two logins at the same time, and one on each node later: none is forgotten."""
    here, there = [KnownLogins(await join(name)) for name in "ab"]
    for number, one in enumerate([here, there, here, there]):
        one.add("192.0.2.7", f"user{number}")
    pairs = [("192.0.2.7", f"user{number}") for number in range(4)]
    await until(lambda: all(pair in one for pair in pairs for one in (here, there)))
    assert pairs[0] not in KnownLogins()


async def test_while_the_database_is_away_a_node_goes_on_by_what_it_knows(join, database):
    documents = await join()
    known = KnownLogins(documents)
    known.add("192.0.2.7", "before")
    await known._shared.settle()
    postgres.server().sql("REVOKE ALL ON relay.document FROM relay", database)
    known.add("192.0.2.7", "meanwhile")
    await known._shared.settle()
    assert ("192.0.2.7", "before") in known
    assert ("192.0.2.7", "meanwhile") in known
    with pytest.raises(DocumentError, match="cannot be read"):
        await documents.change(LOGINS, str)
    postgres.server().sql("GRANT ALL ON relay.document TO relay", database)
    await known._shared.settle()
    assert ("192.0.2.7", "meanwhile") in KnownLogins(await join("b"))


DEVICE = Device(address="192.168.1.50", listener="0.0.0.0:25", note="MFP 3階")


@pytest.fixture
def config(tmp_path, database):
    spool = {"url": postgres.server().url(database, "relay"), "key": postgres.KEY}
    own = {"address": "192.168.1.9", "note": "of relay.toml"}
    return build({"state_dir": str(tmp_path), "spool": spool, "device": [own]}, {})


async def test_a_device_that_one_node_adopts_is_in_at_every_node(join, config):
    currents = [Current(config), Current(config)]
    here, there = [Adopted(await join(name), current) for name, current in zip("ab", currents, strict=True)]

    def known():
        return [[(one.address, one.note) for one in current.config.device] for current in currents]

    async def everywhere(*devices):
        await until(lambda: known() == [[("192.168.1.9", "of relay.toml"), *devices]] * 2)

    await here.add(DEVICE)
    await everywhere(("192.168.1.50", "MFP 3階"))
    await there.rename("192.168.1.50", "複合機")
    await there.add(DEVICE)  # somebody else was faster
    await everywhere(("192.168.1.50", "複合機"))
    currents[1].replace(config)  # `relay.toml` is read again, and says nothing of it
    await everywhere(("192.168.1.50", "複合機"))
    with pytest.raises(CannotAdopt, match="not adopted here"):
        await there.forget("192.168.1.9")
    await there.forget("192.168.1.50")
    await everywhere()


async def test_a_node_that_starts_knows_the_devices_and_keeps_them_without_the_database(
    join, config, database
):
    await Adopted(await join(), Current(config)).add(DEVICE)
    current = Current(config)
    adopted = Adopted(await join("b"), current)
    assert DEVICE in current.config.device
    postgres.server().sql("REVOKE ALL ON relay.document FROM relay", database)
    with pytest.raises(CannotAdopt, match="cannot be read"):
        await adopted.forget("192.168.1.50")
    current.replace(config)
    assert DEVICE in current.config.device
