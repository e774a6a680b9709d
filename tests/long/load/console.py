"""The console before a full spool: how long its pages take, and what ten browsers cost the event loop.

    python -m tests.long.load.console                    100,000 messages, ten browsers for 20 seconds
    python -m tests.long.load.console --messages 10000 --browsers 3 --seconds 5

The spool is filled with rows as `put` makes them. First each page is asked for alone; then, in a process of
their own, browsers click through all of them, each some page every half second, and their open pages ask for
themselves as the console's script does. The lag of the relay's event loop is how much later than asked for a
sleep of five milliseconds ends, measured with the browsers and, side by side, without.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2 as httpx

from relay.console.access import OPEN
from relay.console.app import build
from relay.console.server import FEW, serving
from relay.console.service import ServiceStatus
from relay.console.sessions import LIVE
from tests.long.crash.million import fill
from tests.support.relay import relaying

PAGES = {
    "overview": "/",
    "messages": "/messages",
    "by recipient": "/messages?to=r4711",
    "by sender, nothing found": "/messages?from=nobody",
    "by state": "/messages?state=queued&since=24h",
    "by device": "/messages?source=192.0.2.7",
    "devices": "/devices",
    "accounts": "/accounts",
    "activity": "/activity",
}
_ROUNDS = 7
_SLEEP = 0.005  # seconds
_CLICK, _POLL = 0.5, 5.0  # seconds


async def time_pages(url):
    """The median and the worst of each page, in milliseconds."""
    figures = {}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        for name, path in PAGES.items():
            took = []
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                answer = await http.get(path)
                took.append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 200, (path, answer.status_code)
            figures[name] = [round(statistics.median(took)), round(max(took))]
    return figures


async def measure_lag(seconds):
    """The lag's percentiles, in milliseconds."""
    lags, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        await asyncio.sleep(_SLEEP)
        lags.append((time.perf_counter() - began - _SLEEP) * 1000)
    lags.sort()
    return {
        name: round(lags[min(int(len(lags) * part), len(lags) - 1)], 1)
        for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


async def browse(url, seconds):
    """One browser: clicks here and there, and its open page asks for itself."""
    end, clicks, chance = time.monotonic() + seconds, 0, random.Random()
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        path, asked = "/", time.monotonic()
        while time.monotonic() < end:
            if time.monotonic() - asked > _POLL:
                asked = time.monotonic()
                await http.get(path, headers={LIVE: "1"})
            path = chance.choice(list(PAGES.values()))
            await http.get(path)
            clicks += 1
            await asyncio.sleep(chance.uniform(0.5, 1.5) * _CLICK)
    return clicks


async def click(url, browsers, seconds):
    return sum(await asyncio.gather(*[browse(url, seconds) for _ in range(browsers)]))


async def measure(options):
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        (state / "spool").mkdir(parents=True)
        began = time.perf_counter()
        await fill(state / "spool", options.messages)
        filled = round(time.perf_counter() - began, 1)
        async with relaying(state, grants=[]) as relay:
            await relay.service.spool.counts()
            app = build(ServiceStatus(relay.service), relay.service.config, access=OPEN)
            async with serving(app, connections=FEW) as server:
                print(json.dumps({"messages": options.messages, "filled in": filled}), flush=True)
                pages = await _outside("pages", server.url)
                print(json.dumps({"milliseconds, median and worst": pages}), flush=True)
                alone = await measure_lag(options.seconds)
                words = [str(options.browsers), str(options.seconds)]
                clicking = asyncio.create_task(_outside("click", server.url, *words))
                await asyncio.sleep(1)
                beside = await measure_lag(options.seconds - 1)
                clicks = await clicking
    print(json.dumps({"lag alone": alone, f"lag beside {options.browsers}": beside, "clicks": clicks}))


async def _outside(*words):
    """Run this script's other half in a process of its own: it must not hold up the loop that is measured."""
    command = [sys.executable, "-m", "tests.long.load.console", "--half", *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--browsers", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--half", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.half is None:
        asyncio.run(measure(options))
        return
    half, url, *more = options.half
    what = time_pages(url) if half == "pages" else click(url, *map(int, more))
    print(json.dumps(asyncio.run(what)))


if __name__ == "__main__":
    main()
