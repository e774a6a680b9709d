"""A SQLite spool in a folder, and a message for it."""

import contextlib
from datetime import UTC, datetime

from relay.envelope import Envelope, Submission
from relay.spool.sqlite.engine import SqliteSpool


def submission(spool, number=0, content=b""):
    writer = spool.writer()
    writer.write(b"Subject: %d\r\n\r\nb\r\n" % number + content)
    envelope = Envelope("s@example.com", ("a@example.com",), datetime.now(UTC), client_address="192.0.2.1")
    return Submission(envelope, writer.finish())


@contextlib.asynccontextmanager
async def opened(folder, reports=None, **options):
    """A spool; what it reports is added to `reports`."""
    if reports is not None:
        options["report"] = lambda *news: reports.append(news)
    spool = SqliteSpool(folder, **options)
    await spool.open()
    try:
        yield spool
    finally:
        await spool.close()
