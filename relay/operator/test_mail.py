"""The message that shows whether mail goes: plain, small, and saying what it is."""

import time
from datetime import UTC, datetime

from relay.host.clock import to_local


def write_test(hostname: str, account: str, address: str, to: str) -> bytes:
    """A message from an account to somebody, which says from which mailbox it should come.

    Args:
        hostname: of this relay.
        account: the name of the one that sends it.
        address: its mailbox's.
        to: the recipient's address.
    """
    lines = (
        f"From: {address}",
        f"To: {to}",
        f"Subject: Test of the relay {hostname}, {to_local(time.time(), 'seconds')}",
        f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S} +0000",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
        f"This is a test of the relay {hostname}.",
        "",
        f"It was sent by the account {account}, and should come from {address}.",
        "If it comes from another address, another mailbox consented.",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()
