"""What a server is like, as far as mail depends on it: the facts, for `relay check`."""

import time
from dataclasses import replace

import psycopg

from relay.postgres import schema
from relay.postgres.database import NOW, opened, run
from relay.postgres.facts import Facts
from relay.postgres.node import ALIVE
from relay.postgres.server import Address, Connection, translate
from relay.spool import SpoolError

TABLES = (  # that the relay reads and writes
    "message",
    "content",
    "request",
    "event",
    "unheard",
    "heard",
    "node",
    "lease",
    "lease_until",
    "account_grant",
    "document",
    "sender_state",
    "account_released",
)
_FACTS = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
    " pg_encoding_to_char(d.encoding), pg_is_in_recovery(), current_setting('fsync') = 'on',"
    " current_setting('full_page_writes') = 'on', current_setting('synchronous_commit'),"
    " current_setting('synchronous_standby_names'),"
    " current_setting('idle_in_transaction_session_timeout') <> '0',"
    " coalesce((SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl), ''),"
    f" {NOW} FROM pg_database d WHERE d.datname = current_database()"
)
_RIGHTS = (
    "SELECT t.name FROM unnest(%s::text[]) AS t (name)"
    " WHERE NOT has_table_privilege('relay.' || t.name, 'SELECT')"
    " OR NOT has_table_privilege('relay.' || t.name, 'INSERT')"
    " OR NOT has_table_privilege('relay.' || t.name, 'UPDATE')"
    " OR NOT has_table_privilege('relay.' || t.name, 'DELETE')"
)
_MAY_ALTER = "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'relay'"
_COUNTS = "SELECT state, count(*) FROM relay.message GROUP BY state"
_NODES = (
    f"SELECT n.name, n.program, l.holder = n.token AND u.until >= {NOW} FROM relay.node n"
    " JOIN relay.lease l ON l.name = 'sender' JOIN relay.lease_until u ON u.name = 'sender'"
    f" WHERE n.ended IS NULL AND (n.seen > {NOW} - {ALIVE} OR l.holder = n.token AND u.until >= {NOW})"
    " ORDER BY n.name"
)


async def examine(address: Address) -> Facts:
    """Look at a server.

    Raises:
        SpoolError: it cannot be reached, or refuses the login.
    """
    async with opened(address, hurried=True) as connection:
        try:
            return await _examine(connection)
        except psycopg.Error as error:
            raise translate(error) from error


async def _examine(connection: Connection) -> Facts:
    found = Facts(*(await run(connection, _FACTS))[0])
    found = replace(found, clock=found.clock - time.time())
    try:
        await schema.require(connection)
    except SpoolError as error:
        return replace(found, trouble=str(error))
    if lacking := await run(connection, _RIGHTS, (list(TABLES),)):
        return replace(found, missing_rights=tuple(name for (name,) in lacking))
    owner = await run(connection, _MAY_ALTER)
    counts, nodes = await run(connection, _COUNTS), await run(connection, _NODES)
    return replace(
        found,
        may_alter=bool(owner and owner[0][0]),
        counts=tuple((str(state), int(number)) for state, number in counts),
        nodes=tuple((str(name), str(release), bool(sends)) for name, release, sends in nodes),
    )
