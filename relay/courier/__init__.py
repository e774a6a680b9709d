"""Claim, convert, pace, send, settle, for ever: from the spool to Works.

courier       the loop: whose turn it is
attempt       one claimed message: converted, and sent in one request or several
judgement/    what an outcome means, given the ones before
standing      how the API and each account stand: what the judgement knows
copies        who gets a message beside its recipients, or in their place
settling      how a claim ends: written once, heard, told
probes        asks Works whether a trouble is over
slots         attempts that may be under way at once
handover      what one sender leaves to the next
inherited     requests that an earlier sender has under way
verdicts      SMTP sessions that wait for a verdict
forecast      how long a message is likely to wait for its turn
unconfigured  accounts that mail waits for and that are not in the configuration
"""

from relay.courier.attempt import Tools, conversion
from relay.courier.copies import address
from relay.courier.courier import Courier
from relay.courier.settling import SPOOL_PATIENCE, Settling
from relay.courier.standing import Standing

__all__ = ["SPOOL_PATIENCE", "Courier", "Settling", "Standing", "Tools", "address", "conversion"]
