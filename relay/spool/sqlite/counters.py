"""How many messages are in each state, without counting a million rows for each look at the console.

Counted once, when the spool is opened; from then on triggers of the writing connection keep the numbers,
in a table of its own memory, so that what is rolled back is not counted either.
"""

import sqlite3

from relay.spool import State

_KEEP = """
    CREATE TEMP TABLE tally (state TEXT PRIMARY KEY, messages INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TEMP TRIGGER tally_put AFTER INSERT ON main.message BEGIN
        UPDATE tally SET messages = messages + 1 WHERE state = NEW.state;
    END;
    CREATE TEMP TRIGGER tally_change AFTER UPDATE OF state ON main.message WHEN OLD.state <> NEW.state BEGIN
        UPDATE tally SET messages = messages + (CASE state WHEN NEW.state THEN 1 ELSE -1 END)
            WHERE state IN (OLD.state, NEW.state);
    END;
    CREATE TEMP TRIGGER tally_purge AFTER DELETE ON main.message BEGIN
        UPDATE tally SET messages = messages - 1 WHERE state = OLD.state;
    END;
"""


def begin(c: sqlite3.Connection) -> None:
    """Count, and keep counting on this connection: the only one that writes."""
    c.execute("PRAGMA temp_store = MEMORY")
    c.executescript(_KEEP)
    c.executemany("INSERT INTO tally VALUES (?, 0)", [(state,) for state in State])
    found = "SELECT state, COUNT(*) FROM message INDEXED BY message_state GROUP BY state"
    counted = c.execute(found).fetchall()
    c.executemany("UPDATE tally SET messages = ? WHERE state = ?", [(n, state) for state, n in counted])


def counts(c: sqlite3.Connection) -> dict[State, int]:
    """How many messages are in each state."""
    return {State(state): n for state, n in c.execute("SELECT state, messages FROM tally")}
