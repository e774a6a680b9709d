"""What the tests of the converting process share with its long run."""

import asyncio
import base64
import contextlib
import os
import random
import signal
import time
from pathlib import Path

from relay.mail import Conversion

TO = ("office@example.com",)
HOW = Conversion()
FIELDS = b"From: scanner@example.com\r\nTo: office@example.com\r\nSubject: scan\r\nMIME-Version: 1.0\r\n"


def make_scan(octets: int) -> bytes:
    return (
        FIELDS + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
        b'Content-Type: application/pdf; name="scan.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + base64.encodebytes(os.urandom(octets)).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    )


def all_children():
    """Of every thread; one that ends meanwhile leaves its children to another, so all are looked at again."""
    while True:
        try:
            tasks = list(Path("/proc/self/task").iterdir())
            return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue


async def kill_over_scans(converter, content, children, number):
    """What scans become, over each of which the process is killed once, at a random moment."""
    await converter.convert(content, TO, HOW)
    began = time.monotonic()
    await converter.convert(content, TO, HOW)
    usual = time.monotonic() - began
    results = []
    for _ in range(number):
        victims = children()
        asked = asyncio.ensure_future(converter.convert(content, TO, HOW))
        await asyncio.sleep(random.uniform(0, usual * 1.2))
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        results.append(await asked)
    return results
