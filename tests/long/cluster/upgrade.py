"""A machine of the release before sends, and two of this one take mail beside it; then it ends.

    python -m tests.long.cluster.upgrade --older /opt/older/bin/python

The older release makes the tables and begins; this release's migration is made while it works. A release that
takes mail only where it sends refuses to start while another machine has the lease: so the older one stays
what it is, until it is ended as in an upgrade, and one of the others goes on. Exit code 1 if mail was lost or
sent twice.
"""

import asyncio
import signal
import subprocess
import sys
from contextlib import AsyncExitStack

from tests.long.cluster.clients import Book, Load
from tests.long.cluster.judging import Verdict, rows
from tests.long.cluster.kill import BACKLOG
from tests.long.cluster.kill import WRONG as WRONG_MAIL
from tests.long.cluster.machines import Machine, Site, store_grant
from tests.long.cluster.witness import Witness
from tests.long.crash.harness import chance_of, finish, make_parser, say, start, works
from tests.support import postgres

WRONG = (*WRONG_MAIL, "duplicates", "nothing_sent_by_the_older", "nothing_sent_by_the_newer")


class Older(Machine):
    """A machine of another release."""

    python = ""  # in which it is installed

    def start(self, before=()):
        with self.log.open("ab") as log:
            command = [*before, self.python, "-m", "relay", "serve", "--config", str(self.config)]
            # Elsewhere: `-m` would find this release in the folder where the tests are.
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/"
            )
        self.pid = self.process.pid


async def migrate(python, config, url):
    """What an administrator does, with this release's program."""
    words = [python, "-m", "relay", "spool", "migrate", "--config", str(config), "--url", url]
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, cwd="/", stdout=pipe, stderr=subprocess.STDOUT)
    said, _ = await process.communicate()
    say(said.decode().strip())
    assert process.returncode == 0


async def run(options, folder):
    chance, book, made = chance_of(options.seed), Book(), []

    def before(app):
        made.append(Witness(app, chance))
        return made[0]

    async with AsyncExitStack() as stack:
        server = await asyncio.to_thread(lambda: postgres.Server(fsync="on"))
        stack.callback(server.remove)
        server.sql("CREATE ROLE relay LOGIN")
        name = server.make_empty()
        sandbox, url = await stack.enter_async_context(works(before=before))
        database = server.url(name, "relay")
        old = Older(folder / "older", url, database, None)
        old.python = options.older
        new = [Machine(folder / f"n{at}", url, database, None) for at in range(2)]
        site = Site([old, *new], server, name)
        await migrate(options.older, old.config, server.url(name))
        await store_grant(old, sandbox)
        for one in site.machines:
            stack.push_async_callback(one.end)
        old.start()
        await old.listening(60)
        load = Load([old], book, chance, options.connections)
        await asyncio.sleep(5)
        await migrate(sys.executable, new[0].config, server.url(name))
        say(f"{len(book.accepted)} accepted by the older release alone")
        for one in new:
            one.keep()
        await site.all_listen()
        beside = Load(new, book, chance, options.connections, first=1_000_000)
        beside.is_enough_waiting = lambda: len(book.accepted) - len(sandbox.messages) > BACKLOG
        await asyncio.sleep(options.seconds)
        by_old = len(sandbox.messages)
        say(f"{len(book.accepted)} accepted by both, {by_old} sent")
        assert await site.find_sender() is old
        old.signal(signal.SIGTERM)
        load.move(new)
        await old.gone()
        await site.sender(but=old)
        await asyncio.sleep(5)
        await asyncio.gather(load.end(), beside.end())
        await new[0].drain()
        verdict = Verdict(book, sandbox, made[0], rows(server, name), lambda query: server.sql(query, name))
        result = {
            **verdict.figures(),
            "nothing_sent_by_the_older": int(not by_old),
            "nothing_sent_by_the_newer": int(len(sandbox.messages) == by_old),
        }
        for number in list(verdict.wrong)[:10]:
            say(verdict.explain(number))
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--older", required=True, help="Python in which the release before is installed")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=6)
    return start(run, parser, "upgrade")


if __name__ == "__main__":
    sys.exit(main())
