"""Submissions as a session would hand them over."""

from datetime import UTC, datetime

from relay.envelope import Envelope, Submission


def make_submission(spool, content=b"Subject: a\r\n\r\nb\r\n", source="192.0.2.1", rcpt=("a@example.com",)):
    writer = spool.writer()
    writer.write(content)
    envelope = Envelope("s@example.com", tuple(rcpt), datetime.now(UTC), client_address=source)
    return Submission(envelope, writer.finish())
