"""Kills the converting process once for each of many scans, at random moments: each must arrive as sent.

    python -m tests.long.crash.converter [--scans 200] [--size 3000000]

Prints how many came as they should, how many as message.eml, and how long the slowest took.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from relay.conversion.pool import Converter
from relay.host.content import ContentWriter
from relay.message import convert
from tests.support.converter import HOW, TO, all_children, kill_over_scans, make_scan


async def run(scans: int, size: int) -> Counter:
    scan = make_scan(size)
    converter = Converter()
    with tempfile.TemporaryDirectory() as folder:
        writer = ContentWriter(Path(folder), threshold=0)
        writer.write(scan)
        results = await kill_over_scans(converter, writer.finish(), all_children, scans)
    await converter.stop()
    whole = convert(scan, TO, HOW)
    return Counter("as sent" if one == whole else "message.eml" for one in results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--size", type=int, default=3_000_000, help="octets of each scan")
    options = parser.parse_args()
    found = asyncio.run(run(options.scans, options.size))
    print(dict(found))
    return found["as sent"] != options.scans


if __name__ == "__main__":
    sys.exit(main())
