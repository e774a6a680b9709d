"""Claim, convert, pace, send, settle, for ever: from the spool to Works.

courier     the loop: whose turn it is, and how each claim ends
attempt     one claimed message: converted, and sent in one request or several
rules       the attempt's outcomes → how the message is settled
patience    when a message's time is up, and when it is not its fault
accounts    accounts in trouble: their mail waits, and one message at a time probes
suspects    messages that Works refuses as their account's trouble while others pass
strangers   accounts that mail waits for and that are not in the configuration
sessions    SMTP sessions that wait for a verdict
backlog     how many messages come before one, as far as is known
"""

from relay.courier.attempt import conversion
from relay.courier.courier import Courier

__all__ = ["Courier", "conversion"]
