"""Requests in any minute, as the simulated Works counts them, while the sender changes again and again.

    python -m tests.long.cluster.budget --changes 6

Two machines send a backlog with the budget of 240 requests a minute. After a minute the sender is ended
(SIGTERM) so many times: how much of the budget is used in each minute meanwhile? Then it is killed, with
the other machine to follow; killed and started again; stopped for longer than its lease; its lease is taken
away; and the database's server is restarted at once. Tokens die and requests are sent on to another
instance: each 401 and 307 is a request, too. Exit code 1 if any minute had more than the budget, or less
than nine tenths of it were used over the SIGTERMs.
"""

import asyncio
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from relay.sandbox import Settings
from tests.long.cluster.clients import Book, Caller, Door
from tests.long.cluster.machines import Forks, Machine, Site, database_server
from tests.long.cluster.witness import Witness
from tests.long.crash.harness import chance_of, compose, finish, make_parser, say, start, works
from tests.support.proxy import make_tls

BUDGET, MINUTE, BACKLOG = 240, 60.0, 150
KINDS = ("SIGTERM", "killed, another follows", "killed, starts again", "stopped", "lease taken", "database")
WRONG = ("minutes_over_the_budget", "less_than_nine_tenths_used_over_SIGTERM")
SETTINGS = Settings(
    requests_per_minute=BUDGET, mails_per_minute=0, recipients_per_day=0, keep=0, summaries=100_000
)
# Works is a certified https host: only to such a one a redirection is followed.
TRUST = """
import ssl, relay.works.http.tls  # noqa
relay.works.http.tls._make_context = lambda: ssl.create_default_context(cafile={certificate!r})
"""


class Instances:
    """Sends every so many-th request on to another instance, which is the same one by another name."""

    def __init__(self, app, every):
        self._app, self._every, self._number = app, every, 0
        self.redirected = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"].endswith("/mail") and not scope["query_string"]:
            self._number += 1
            if self._number % self._every == 0:
                while (await receive()).get("more_body"):
                    pass
                self.redirected += 1
                host = dict(scope["headers"])[b"host"]
                location = b"https://" + host + scope["path"].encode() + b"?instance=2"
                await send(
                    {
                        "type": "http.response.start",
                        "status": 307,
                        "headers": [(b"location", location), (b"content-length", b"0")],
                    }
                )
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)


@asynccontextmanager
async def behind_tls(url, folder):
    """The URL of a TLS server in front of one without."""
    port = int(url.rpartition(":")[2])
    context, _ = make_tls(folder)

    async def pump(reader, writer):
        with suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


class Changes:
    """How the sender changes."""

    def __init__(self, site, lease):
        self._site, self._lease = site, lease

    async def run(self, kind):
        site, sender = self._site, await self._site.sender()
        if kind == "SIGTERM":
            sender.signal(signal.SIGTERM)
        elif kind == "killed, another follows":
            sender.stay_away(2 * self._lease + 5)
            sender.signal(signal.SIGKILL)
            await site.sender(but=sender)
        elif kind == "killed, starts again":
            sender.stay_away(0.0)
            sender.signal(signal.SIGKILL)
        elif kind == "stopped":
            sender.signal(signal.SIGSTOP)
            await asyncio.sleep(2 * self._lease)
            sender.signal(signal.SIGCONT)
        elif kind == "lease taken":
            await site.sql("UPDATE relay.lease SET holder = NULL, epoch = epoch + 1")
        else:
            await asyncio.to_thread(site.server.restart)


async def feed(site, chance, book, count_sent):
    """Keep something waiting, for ever."""
    caller, number = Caller(Door(site.machines, chance), book, chance), 0
    while True:
        if len(book.accepted) - count_sent() >= BACKLOG:
            await asyncio.sleep(0.2)
            continue
        number += 1
        book.enter(number, *await caller.insist(number, compose(number)))
        if number % 10 == 0:
            caller.hang_up()


async def kill_tokens(sandbox, chance):
    """Now and then an access token dies, for ever: the request that uses it meets a 401.

    Not two in a row: that is a grant that Works does not accept.
    """
    while True:
        await asyncio.sleep(chance.uniform(10, 20))
        if not sandbox.faults.standing():
            sandbox.add_fault("token-death", at="send", access_only=True)


def windows(requests, first, last):
    """The number of requests in each minute that begins after `first` and ends before `last`."""
    times = [one.began for one in requests]
    starts = range(int(max(0.0, last - first - MINUTE)) + 1)
    return [sum(first + at <= one < first + at + MINUTE for one in times) for at in starts]


async def run(options, folder):
    chance, book, made = chance_of(options.seed), Book(), []

    def before(app):
        made.append(Instances(app, 25))
        made.append(Witness(made[0], chance, 0.3))
        return made[1]

    async with AsyncExitStack() as stack:
        server, name = await stack.enter_async_context(database_server())
        sandbox, plain = await stack.enter_async_context(works(SETTINGS, before=before))
        url = await stack.enter_async_context(behind_tls(plain, folder))
        instances, witness = made
        trust = TRUST.format(certificate=str(folder / "both.pem"))
        nursery = Forks(options.lease, options.lease / 6, trust)
        stack.callback(nursery.close)
        changed = [
            ("requests_per_minute = 0", f"requests_per_minute = {BUDGET}"),
            (f'auth_url = "{url}', f'auth_url = "{plain}'),
        ]
        machines = [
            Machine(folder / f"n{at}", url, server.url(name, "relay"), nursery, changes=changed, wait="0s")
            for at in range(2)
        ]
        site = Site(machines, server, name)
        await site.begin(sandbox, stack)
        tasks = [
            asyncio.create_task(feed(site, chance, book, lambda: len(sandbox.messages))),
            asyncio.create_task(kill_tokens(sandbox, chance)),
        ]
        used = await change_often(options, site, witness, chance)
        for one in tasks:
            one.cancel()
        statuses = Counter(one.status for one in witness.requests)
        times = [one.began for one in witness.requests]
    most = witness.count_most(MINUTE)
    least = min(used, default=BUDGET)
    result = {
        "changes_of_each_kind": options.changes,
        "requests": len(times),
        "answers": dict(statuses),
        "sent_on_to_another_instance": instances.redirected,
        "most_in_a_minute": most,
        "minutes_over_the_budget": int(most > BUDGET),
        "least_used_in_a_minute_over_SIGTERM": round(least / BUDGET, 3),
        "less_than_nine_tenths_used_over_SIGTERM": int(least < 0.9 * BUDGET),
    }
    return finish(result, WRONG, as_json=options.json)


async def change_often(options, site, witness, chance):
    """Change the sender in each way; the requests of each minute over the SIGTERMs."""
    changes, used = Changes(site, options.lease), []
    for kind in options.kinds or KINDS:
        if kind == "SIGTERM":
            await asyncio.sleep(MINUTE)
        began = time.monotonic()
        for _ in range(options.changes):
            await site.all_listen()
            await changes.run(kind)
            await site.sender()
            await asyncio.sleep(chance.uniform(25, 35) if kind == "SIGTERM" else chance.uniform(8, 20))
        if kind == "SIGTERM":
            used = windows(witness.requests, began, time.monotonic())
        say(
            f"{kind}: {witness.count_most(MINUTE)} at most in a minute; {len(witness.requests)} in all {used}"
        )
    return used


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--changes", type=int, default=6, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS))
    parser.add_argument("--lease", type=float, default=6.0, help="seconds")
    return start(run, parser, "budget")


if __name__ == "__main__":
    sys.exit(main())
