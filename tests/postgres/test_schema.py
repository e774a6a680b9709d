"""The tables: who makes them, who may use them, and what an older or newer relay says of them."""

import psycopg
import pytest

from relay.postgres import examine, schema
from relay.postgres.schema import NUMBER
from relay.spool import SpoolError
from tests.support import postgres
from tests.support.submissions import make_submission


async def test_without_tables_the_relay_says_what_to_do(tmp_path):
    database = postgres.server().make_empty()
    postgres.server().sql("SELECT 1", postgres.server().make())  # makes the role
    with pytest.raises(SpoolError, match="run `relay spool migrate`"):
        await postgres.open_spool_on(database, tmp_path).open()


async def test_tables_are_made_once(database, tmp_path):
    assert await postgres.migrate(postgres.server().url(database)) == []


async def test_an_older_and_a_newer_release_are_told_from_each_other(database, tmp_path):
    server = postgres.server()
    server.sql(f"UPDATE relay.version SET number = {NUMBER + 1}", database)
    spool = postgres.open_spool_on(database, tmp_path)
    await spool.open()  # a migration only adds
    await spool.close()
    server.sql(f"UPDATE relay.version SET oldest = {NUMBER + 1}", database)
    with pytest.raises(SpoolError, match="install the newer release"):
        await postgres.open_spool_on(database, tmp_path).open()
    server.sql(f"UPDATE relay.version SET number = {NUMBER - 1} + 0, oldest = 0", database)
    with pytest.raises(SpoolError, match="run `relay spool migrate`"):
        await postgres.open_spool_on(database, tmp_path).open()


COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL"
    " FROM information_schema.columns WHERE table_schema = 'relay' AND NOT is_identity::boolean"
)


async def test_a_migration_only_adds(monkeypatch):
    """Nodes of the release before go on: they find what they know, and need not name what is new."""
    server = postgres.server()
    database = server.make_empty()
    server.sql("SELECT 1", server.make())  # makes the role
    before = set()
    for number in range(1, NUMBER + 1):
        monkeypatch.setattr(schema, "NUMBER", number)
        assert await postgres.migrate(server.url(database)) == [number]
        after = set(server.sql(COLUMNS, database))
        assert before <= after
        old_tables = {column[0] for column in before}
        must_be_named = [column for column in after - before if column[0] in old_tables and not column[3]]
        assert not must_be_named
        before = after


def test_check_looks_for_the_rights_on_every_table(database):
    """A table that is forgotten there is missed only when a message needs it."""
    found = postgres.server().sql(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'relay' AND tablename <> 'version'", database
    )
    assert {name for (name,) in found} == set(examine.TABLES)


@pytest.mark.parametrize(
    "forbidden",
    [
        "DROP TABLE relay.message",
        "ALTER TABLE relay.message ADD x int",
        "UPDATE relay.version SET oldest = 9",
    ],
)
def test_the_relays_role_cannot_change_the_tables(database, forbidden):
    """Whoever takes the relay over has its mail; he need not have the next release's tables too."""
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(postgres.server().url(database, "relay")) as connection, refused:
        connection.execute(forbidden)


async def test_a_database_of_another_encoding_is_found_out(tmp_path):
    """The C locale alone gives SQL_ASCII, and texts come back as octets."""
    from relay.postgres.server import Address

    server = postgres.server()
    server.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    facts = await examine.examine(Address(server.url("ascii")))
    assert facts.encoding == "SQL_ASCII"
    assert "relay spool migrate" in facts.trouble


async def test_nothing_is_prepared_on_the_server(opened, database):
    """Behind a pooler in transaction mode the next statement may be asked of another session."""
    spool = await opened()
    for _ in range(12):
        await spool.put(make_submission(spool), "scanner")
        with await spool.claim(["scanner"], 0) as claim:
            await spool.start(claim, 0, ["a@example.com"])
    async with spool._database.desk.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_prepared_statements")
        assert await cursor.fetchone() == (0,)
