"""How a submission becomes an entry."""

from relay.envelope import Submission
from relay.spool import Entry, State


def make_entry(queue_id: str, submission: Submission, account: str) -> Entry:
    """A message as it is when it arrives."""
    arrival = submission.envelope.arrival_date.timestamp()
    return Entry(
        queue_id=queue_id,
        state=State.HELD if submission.hold else State.QUEUED,
        account=account,
        envelope=submission.envelope,
        size=submission.content.size,
        sha256=submission.content.sha256,
        arrival=arrival,
        next_attempt=0.0,
        attempts=0,
        unknowns=0,
        reason=submission.hold.reason,
        hold=submission.hold,
        since=arrival,
    )
