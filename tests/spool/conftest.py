"""What all tests of the spool share."""

import sqlite3

import pytest

# What the spool and these tests use, and SQLite 3.34 has without its JSON; `now` is the spool's own.
_OF_VACUUM = {"coalesce", "quote"}
_OLD = {"count", "instr", "lower", "max", "min", "now", "replace", "strftime"}
_OF_ALTER_TABLE = {"length", "like", "printf", "sqlite_rename_table", "sqlite_rename_test", "substr"}


@pytest.fixture(autouse=True)
def old_library(monkeypatch):
    """SQLite as long-lived systems have it (3.34, 3.37): `unixepoch` was not there, and no relay started."""
    connect = sqlite3.connect

    def judge(action, _, name, *__):
        new = action == sqlite3.SQLITE_FUNCTION and name.lower() not in _OLD | _OF_ALTER_TABLE | _OF_VACUUM
        return sqlite3.SQLITE_DENY if new else sqlite3.SQLITE_OK

    def connect_as_of_old(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_authorizer(judge)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_as_of_old)
