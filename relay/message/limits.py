"""The bounds of what is understood, counted on octets before anything is parsed.

Over one of them a message is `Unconvertible`: a person made none of it, and a parser would spend
minutes or the stack on it.
"""

from relay.mail import Unconvertible

FIELD_SECTION = 256 * 1024  # octets of one header section
FIELD = 64 * 1024  # octets of one field, folds included; a destination field may fill the section
PARTS = 1000  # parts of one message, the root included
MEGABYTE = 1024 * 1024  # as users count it
DEPTH = 100  # levels of nesting
ADDRESSES = 20_000  # mailboxes in all originator and destination fields together


def refuse(what: str, most: int) -> Unconvertible:
    """The refusal of a message that has more than `most` of something."""
    return Unconvertible("5.6.0", f"the message has more than {most:,} {what}")
