"""The spool of one node: one SQLite database with one writing connection, and content files."""
