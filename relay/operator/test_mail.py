"""The message that shows whether mail goes: plain, small, and saying what it is."""

import base64
import secrets
import time
from datetime import UTC, datetime

from relay.host.clock import to_local

_DATE = "%a, %d %b %Y %H:%M:%S +0000"  # RFC 5322 §3.3; no locale is ever set


def write_test(hostname: str, address: str, to: str, subject: str, text: str) -> bytes:
    """A message from an account's address to somebody, whose body says from where and when it came.

    Args:
        hostname: of this relay.
        address: the account's; the mailbox that the mail must be seen to come from.
        to: the recipient's address.
        subject: of one line.
        text: of the body, before what it says of itself.
    """
    body = f"{text}\n\n{hostname}, {to_local(time.time(), 'seconds')}\n"
    fields = {
        "From": address,
        "To": to,
        "Subject": f"=?utf-8?B?{base64.b64encode(subject.encode()).decode()}?=",
        "Date": datetime.now(UTC).strftime(_DATE),
        "Message-ID": f"<{secrets.token_hex(16)}@{hostname}>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "base64",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + base64.encodebytes(body.encode()).replace(b"\n", b"\r\n")
