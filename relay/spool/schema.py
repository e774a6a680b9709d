"""The tables of the SQLite spool, and how one version becomes the next."""

import sqlite3

# One script for each version, oldest first; user_version counts how many have run.
_MIGRATIONS = (
    """
    CREATE TABLE message (
        queue_id     TEXT PRIMARY KEY,
        state        TEXT NOT NULL,
        account      TEXT NOT NULL,
        source       TEXT NOT NULL,
        rank         REAL NOT NULL,    -- start tag of fair queueing: its turn
        arrival      REAL NOT NULL,    -- seconds since the epoch
        next_attempt REAL NOT NULL,
        attempts     INTEGER NOT NULL,
        unknowns     INTEGER NOT NULL,
        envelope     TEXT NOT NULL,    -- JSON
        size         INTEGER NOT NULL,
        sha256       TEXT NOT NULL,
        file         INTEGER NOT NULL, -- 1: the content lies in a file named by the queue id
        status       TEXT NOT NULL,
        reason       TEXT NOT NULL,
        losses       TEXT NOT NULL     -- JSON
    ) WITHOUT ROWID;
    CREATE INDEX message_turn ON message (account, rank) WHERE state = 'queued';
    CREATE INDEX message_due ON message (account, next_attempt) WHERE state = 'delayed';
    CREATE INDEX message_source ON message (source, rank) WHERE state = 'queued';
    CREATE INDEX message_state ON message (state, arrival);
    CREATE TABLE content (
        queue_id TEXT PRIMARY KEY,
        data     BLOB NOT NULL
    );
    CREATE TABLE request (
        queue_id   TEXT NOT NULL,
        number     INTEGER NOT NULL,
        attempt    INTEGER NOT NULL,
        recipients TEXT NOT NULL,      -- JSON
        started    REAL NOT NULL,
        ended      REAL,               -- NULL: started, and nobody knows
        outcome    TEXT,               -- JSON
        PRIMARY KEY (queue_id, number, attempt)
    ) WITHOUT ROWID;
    CREATE INDEX request_open ON request (queue_id) WHERE ended IS NULL;
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this version.

    Raises:
        sqlite3.DatabaseError: the file is newer than this relay, or damaged.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise sqlite3.DatabaseError(f"the spool is of version {version}; this relay knows {len(_MIGRATIONS)}")
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
