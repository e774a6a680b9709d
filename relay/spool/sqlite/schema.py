"""The tables of the SQLite spool, and how one version becomes the next.

Long-lived systems bring old libraries: SQLite 3.34 (2020) is enough, for this and for every other statement.
"""

import sqlite3

# One script for each version, oldest first; user_version counts how many have run.
MIGRATIONS = (
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
    """
    ALTER TABLE message ADD COLUMN since REAL NOT NULL DEFAULT 0; -- giving up is counted from here
    ALTER TABLE message ADD COLUMN ended REAL NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN seal TEXT NOT NULL DEFAULT ''; -- hash of what never changes; '': none
    UPDATE message SET since = arrival;
    UPDATE message SET ended = CAST(strftime('%s', 'now') AS INTEGER)
        WHERE state IN ('failed', 'relayed', 'discarded');
    DROP INDEX message_due;
    CREATE INDEX message_due ON message (next_attempt) WHERE state = 'delayed';
    -- An attempt that spent nothing is followed by another of the same number: both are remembered.
    ALTER TABLE request RENAME TO request_1;
    DROP INDEX request_open;
    CREATE TABLE request (
        serial     INTEGER PRIMARY KEY,
        queue_id   TEXT NOT NULL,
        number     INTEGER NOT NULL,
        attempt    INTEGER NOT NULL,
        recipients TEXT NOT NULL,      -- JSON
        started    REAL NOT NULL,
        ended      REAL,               -- NULL: started, and nobody knows
        outcome    TEXT                -- JSON
    );
    INSERT INTO request (queue_id, number, attempt, recipients, started, ended, outcome)
        SELECT queue_id, number, attempt, recipients, started, ended, outcome FROM request_1 ORDER BY started;
    DROP TABLE request_1;
    CREATE INDEX request_message ON request (queue_id);
    CREATE INDEX request_started ON request (started);
    CREATE TABLE event (
        number   INTEGER PRIMARY KEY,
        queue_id TEXT NOT NULL,
        at       REAL NOT NULL,
        event    TEXT NOT NULL,
        detail   TEXT NOT NULL         -- JSON
    );
    CREATE INDEX event_message ON event (queue_id);
    CREATE TABLE unheard (             -- messages whose reply is not known to be written
        queue_id    TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,     -- of client, user, envelope and content
        arrival     REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE mark (                -- what the spool knows of itself
        name  TEXT PRIMARY KEY,
        value REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    -- A source's messages take turns within each account.
    DROP INDEX message_source;
    CREATE INDEX message_line ON message (account, source, rank) WHERE state = 'queued';
    """,
    """
    ALTER TABLE message ADD COLUMN claim TEXT NOT NULL DEFAULT ''; -- under which its last attempt started
    ALTER TABLE message ADD COLUMN hold TEXT NOT NULL DEFAULT ''; -- what it waits for, if it is held
    ALTER TABLE message ADD COLUMN cause TEXT NOT NULL DEFAULT 'other'; -- of its last attempt's outcome
    ALTER TABLE request ADD COLUMN claim TEXT NOT NULL DEFAULT '';
    -- Until now sentences told these apart.
    UPDATE message SET hold = CASE
        WHEN reason = 'held until its device is adopted: relay learn --adopt' THEN 'device'
        WHEN reason LIKE 'damaged: %' THEN 'damage'
        WHEN status <> '' THEN 'outcome'
        ELSE 'person' END
        WHERE state = 'held';
    UPDATE message SET cause = 'fault'
        WHERE reason = 'the relay had a fault of its own; its log says more';
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this version, each step in a commit of its own.

    Raises:
        sqlite3.DatabaseError: the file is newer than this relay, or damaged.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise sqlite3.DatabaseError(f"the spool is of version {version}; this relay knows {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
