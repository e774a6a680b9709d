"""The tables, and how one version becomes the next. Made by the database's owner: `relay spool migrate`.

A migration only adds, so that nodes of the release before go on working while the others are replaced.
`version.oldest` is the oldest version of the tables whose relays may still write; a node of an older one
refuses to start. JSON is text: the relay reads it, and passes over keys that it does not know.
"""

import psycopg
from psycopg import sql

from relay.postgres.database import opened
from relay.postgres.server import Address, Connection, translate
from relay.spool import SpoolError

# One script for each version, oldest first, and the oldest version whose relays may write beside it.
MIGRATIONS: tuple[tuple[str, int], ...] = (
    (
        """
        CREATE TABLE relay.message (
            queue_id     text COLLATE "C" PRIMARY KEY,
            state        text COLLATE "C" NOT NULL,
            account      text COLLATE "C" NOT NULL,
            flow         text COLLATE "C" NOT NULL,
            tag          double precision,          -- start tag of fair queueing; NULL: not admitted yet
            arrival      double precision NOT NULL, -- seconds since the epoch
            next_attempt double precision NOT NULL,
            attempts     integer NOT NULL,
            unknowns     integer NOT NULL,
            envelope     text NOT NULL,             -- JSON
            size         bigint NOT NULL,
            sha256       text COLLATE "C" NOT NULL,
            status       text NOT NULL,
            reason       text NOT NULL,
            losses       text NOT NULL,             -- JSON
            since        double precision NOT NULL, -- giving up is counted from here
            ended        double precision NOT NULL,
            hold         text COLLATE "C" NOT NULL,
            cause        text COLLATE "C" NOT NULL,
            seal         text COLLATE "C" NOT NULL, -- hash of what never changes
            claim        text COLLATE "C" NOT NULL, -- under which it was last started or settled
            waiter       bigint,                    -- the node on which a session waits for the verdict
            heard        text                       -- JSON of the settlement that a waiting session is told
        ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
        CREATE INDEX message_turn ON relay.message (account, tag, queue_id) WHERE state = 'queued';
        CREATE INDEX message_flow ON relay.message (account, flow, tag) WHERE state = 'queued';
        CREATE INDEX message_new ON relay.message (next_attempt, queue_id)
            WHERE state = 'queued' AND tag IS NULL;
        CREATE INDEX message_due ON relay.message (next_attempt) WHERE state = 'delayed';
        CREATE INDEX message_state ON relay.message (state, arrival);
        CREATE TABLE relay.content (
            queue_id text COLLATE "C" NOT NULL,
            number   integer NOT NULL,
            data     bytea NOT NULL,
            PRIMARY KEY (queue_id, number)
        ) WITH (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
        ALTER TABLE relay.content ALTER COLUMN data SET STORAGE EXTERNAL;
        CREATE TABLE relay.request (
            serial     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            queue_id   text COLLATE "C" NOT NULL,
            number     integer NOT NULL,
            attempt    integer NOT NULL,
            recipients text NOT NULL,               -- JSON
            how_many   integer NOT NULL,            -- recipients
            started    double precision NOT NULL,
            ended      double precision,            -- NULL: started, and nobody knows
            outcome    text,                        -- JSON
            claim      text COLLATE "C" NOT NULL
        );
        CREATE INDEX request_message ON relay.request (queue_id);
        CREATE INDEX request_started ON relay.request (started);
        CREATE TABLE relay.event (
            number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            queue_id text COLLATE "C" NOT NULL,
            at       double precision NOT NULL,
            event    text NOT NULL,
            detail   text NOT NULL                  -- JSON
        );
        CREATE INDEX event_message ON relay.event (queue_id);
        CREATE TABLE relay.unheard (                -- messages whose reply is not known to be written
            queue_id    text COLLATE "C" PRIMARY KEY,
            fingerprint text COLLATE "C" NOT NULL,
            arrival     double precision NOT NULL,
            node        bigint NOT NULL,
            over        boolean NOT NULL            -- its session has ended without our reply
        );
        CREATE INDEX unheard_fingerprint ON relay.unheard (fingerprint);
        CREATE TABLE relay.node (                   -- a row for each start
            token   bigint PRIMARY KEY,
            name    text NOT NULL,
            home    text COLLATE "C" NOT NULL,      -- of the state directory: one process at a time has it
            program text NOT NULL,
            started double precision NOT NULL,
            seen    double precision NOT NULL,
            ended   double precision                -- NULL: it has not said that it ends
        );
        CREATE TABLE relay.lease (
            name   text COLLATE "C" PRIMARY KEY,
            holder bigint,
            epoch  bigint NOT NULL
        );
        CREATE TABLE relay.lease_until (            -- apart, so that a renewal waits for no fence
            name   text COLLATE "C" PRIMARY KEY,
            epoch  bigint NOT NULL,
            until  double precision NOT NULL
        );
        INSERT INTO relay.lease VALUES ('sender', NULL, 0);
        INSERT INTO relay.lease_until VALUES ('sender', 0, 0);
        CREATE TABLE relay.account_grant (
            account            text COLLATE "C" PRIMARY KEY,
            version            bigint NOT NULL,       -- another one for each grant
            fingerprint        text COLLATE "C" NOT NULL, -- hash of its refresh token
            sealed             bytea NOT NULL,        -- the tokens
            confirmed_at       double precision,
            used_at            double precision,
            refresh_started_at double precision,
            refresher          bigint,                -- who refreshes it now
            refresh_until      double precision       -- and until when nobody else may
        );
        """,
        1,
    ),
    (
        """
        CREATE TABLE relay.document (               -- small texts that every node goes by
            name    text COLLATE "C" PRIMARY KEY,
            version bigint NOT NULL,                -- another one for each text
            body    text NOT NULL
        );
        CREATE TABLE relay.sender_state (           -- what the next sender begins with, and every page shows
            name  text COLLATE "C" PRIMARY KEY,
            epoch bigint NOT NULL,                  -- of the lease under which it was written
            at    double precision NOT NULL,
            state text NOT NULL,                    -- JSON
            timeline text                           -- of the server's log, when it was written
        );
        CREATE TABLE relay.account_released (       -- a person has dealt with it; the sender takes the row
            account text COLLATE "C" PRIMARY KEY
        );
        ALTER TABLE relay.lease_until
            ADD COLUMN since double precision;      -- when the lease was taken
        ALTER TABLE relay.node
            ADD COLUMN fingerprint text,            -- of its configuration; NULL: not said
            ADD COLUMN sessions    integer NOT NULL DEFAULT 0,
            ADD COLUMN accepting   boolean,         -- NULL: not said
            ADD COLUMN trouble     text;            -- a sentence; NULL: none, or not said
        """,
        1,
    ),
    (
        """
        CREATE TABLE relay.heard (                  -- messages whose reply was written
            fingerprint text COLLATE "C" NOT NULL,
            node        bigint NOT NULL,            -- that wrote it
            at          double precision NOT NULL
        );
        CREATE INDEX heard_fingerprint ON relay.heard (fingerprint);
        """,
        1,
    ),
)
NUMBER = len(MIGRATIONS)
_LOCK = 7_205_759_403  # of two owners who migrate at once one waits
_NOT_MADE = "the database has no tables of the relay yet: run `relay spool migrate`"


async def look(connection: Connection) -> int:
    """The version of the tables; 0 if there are none.

    Raises:
        SpoolError: they cannot be looked at, or this relay must not write to them.
    """
    try:
        found = await connection.execute("SELECT to_regclass('relay.version') IS NOT NULL")
        there = await found.fetchone()
        if there is None or not there[0]:
            return 0
        row = await (await connection.execute("SELECT number, oldest FROM relay.version")).fetchone()
    except psycopg.Error as error:
        raise translate(error) from error
    number, oldest = row or (0, 0)
    if oldest > NUMBER:
        raise SpoolError(
            f"the database's tables are of version {number}, for relays that know version {oldest}; "
            f"this one knows {NUMBER}: install the newer release"
        )
    return int(number)


async def require(connection: Connection) -> None:
    """See that the tables are there and as new as this relay.

    Raises:
        SpoolError: they are not; says what to do.
    """
    number = await look(connection)
    if number == 0:
        raise SpoolError(_NOT_MADE)
    if number < NUMBER:
        raise SpoolError(
            f"the database's tables are of version {number}, and this relay needs {NUMBER}: "
            "run `relay spool migrate`"
        )


async def migrate_as(owner: Address, role: str) -> list[int]:
    """`migrate`, with a connection of the owner's."""
    async with opened(owner, hurried=True) as connection:
        return await migrate(connection, role)


async def migrate(connection: Connection, role: str) -> list[int]:
    """Bring the tables to this version, all or nothing, and let a role read and write them.

    Args:
        connection: the owner's.
        role: that the relay logs in as.

    Returns:
        The versions that were made.

    Raises:
        SpoolError: the owner may not, or the tables belong to a newer release.
    """
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            before = await look(connection)
            if not before:
                await _begin(connection)
            done = list(range(before + 1, NUMBER + 1))
            for number in done:
                script, oldest = MIGRATIONS[number - 1]
                await connection.execute(script.encode())
                await connection.execute(
                    "UPDATE relay.version SET number = %s, oldest = %s", (number, oldest)
                )
            await _allow(connection, role)
    except psycopg.Error as error:
        raise translate(error) from error
    await _set_timeouts(connection)
    return done


async def _begin(connection: Connection) -> None:
    await connection.execute("CREATE SCHEMA IF NOT EXISTS relay")
    await connection.execute("CREATE TABLE relay.version (number integer NOT NULL, oldest integer NOT NULL)")
    await connection.execute("INSERT INTO relay.version VALUES (0, 0)")


async def _allow(connection: Connection, role: str) -> None:
    row = await (await connection.execute("SELECT current_user")).fetchone()
    if row is not None and row[0] == role:
        return  # the owner himself: he may do all of it
    name = sql.Identifier(role)
    rights = "SELECT, INSERT, UPDATE, DELETE"
    await connection.execute(sql.SQL("GRANT USAGE ON SCHEMA relay TO {}").format(name))
    await connection.execute(
        sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA relay TO {}").format(sql.SQL(rights), name)
    )
    await connection.execute(sql.SQL("REVOKE INSERT, UPDATE, DELETE ON relay.version FROM {}").format(name))


# A node that stops or loses its network in the middle of a transaction must not hold up the others.
_TIMEOUTS = {
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}


async def _set_timeouts(connection: Connection) -> None:
    """Have the server end what a dead client has begun; only a database's own owner may say so."""
    try:
        row = await (await connection.execute("SELECT current_database()")).fetchone()
        name = sql.Identifier(row[0] if row else "")
        for setting, value in _TIMEOUTS.items():
            change = sql.SQL("ALTER DATABASE {} SET {} = {}")
            await connection.execute(change.format(name, sql.Identifier(setting), sql.Literal(value)))
    except psycopg.errors.InsufficientPrivilege:
        return  # `relay check` tells whoever runs the server
    except psycopg.Error as error:
        raise translate(error) from error
