"""`relay spool move` of a full embedded spool, killed in between again and again.

    python -m tests.long.cluster.move --messages 20000 --kills 8

The spool is filled; the command is killed by SIGKILL at progress of all sorts, and begun again each time;
then a relay sends everything from PostgreSQL, one request at a time, to the simulated Works. Exit code 1 if
a message is missing, was sent twice, or went before one that arrived earlier. (Those that lie in files
count apart: they are converted in another process, and the next one may go meanwhile.)
"""

import asyncio
import signal
import sys
import time
from itertools import pairwise

from relay.spool.sqlite.engine import SqliteSpool
from tests.long.cluster.machines import Forks, Machine
from tests.long.crash.harness import chance_of, compose, finish, make_parser, say, start, works
from tests.support import postgres
from tests.support.submissions import make_submission

WRONG = ("missing", "sent twice", "out of order", "rows missing")
_HUNDRED = 100


async def fill(folder, number):
    """Messages of one source, in this order; every hundredth lies in a file."""
    spool = SqliteSpool(folder)
    await spool.open()

    def put(one, kind):
        submission = make_submission(spool, compose(one, kind), rcpt=(f"r{one}@example.com",))
        return spool.put(submission, "scanner")

    for first in range(0, number, _HUNDRED):
        await put(first, "refused")
        # Each of these has its place when its put is called.
        await asyncio.gather(*(put(one, "small") for one in range(first + 1, min(first + _HUNDRED, number))))
    await spool.close()


class Move:
    """The command, as an operator runs it."""

    def __init__(self, machine, server, name):
        self._words = ("-m", "relay", "spool", "move", "--config", str(machine.config))
        self._log, self._old = machine.log, machine.state / "spool" / "spool.db"
        self._server, self._name = server, name
        self.process = None

    async def begin(self):
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self._words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def is_over(self):
        """The old spool lies aside, whether or not the command lived to say so."""
        return not self._old.exists()

    def count(self):
        return self._server.sql("SELECT count(*) FROM relay.message", self._name)[0][0]

    async def kill_at(self, number, delay):
        """Kill it once so many are there, and a moment later; whether it was still running."""
        await self.begin()
        while self.process.returncode is None and await asyncio.to_thread(self.count) < number:
            await asyncio.sleep(0.01)
        await asyncio.sleep(delay)
        if self.process.returncode is not None:
            return False
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        return True


async def move_and_kill(move, options, chance):
    """How often it was killed before it came to its end."""
    killed = 0
    for number in range(options.kills):
        part = options.messages * (number + chance.random()) / options.kills
        # The first ones may fall before the first message, the last ones after the last.
        killed += await move.kill_at(int(part), chance.uniform(0, 0.3))
        say(f"{killed} kills, {move.count()} moved")
        if move.is_over:
            return killed
    await move.begin()
    code = await move.process.wait()
    assert code == 0, f"the command ended with {code}"
    return killed


async def send_all(machine, sandbox, number, patience):
    """Let a relay send what waits."""
    machine.start()
    least, until = number, time.monotonic() + patience
    while (left := number - len(sandbox.messages)) > 0:
        if left < least:
            least, until = left, time.monotonic() + patience
        if time.monotonic() > until:
            break
        await asyncio.sleep(0.2)
    # What would be sent twice comes soon.
    await asyncio.sleep(2.0)
    await machine.stop()


async def run(options, folder):
    chance, server = chance_of(options.seed), postgres.Server(fsync="on")
    name = server.make()
    async with works() as (sandbox, url):
        nursery, changes = Forks(), [("[works]\n", "[works]\nconcurrency = 1\n")]
        database = server.url(name, "relay")
        machine = Machine(folder / "n", url, database, nursery, changes=changes, attachment_limit="10MB")
        machine.grant(sandbox)
        say("filling")
        await fill(machine.state / "spool", options.messages)
        began = time.monotonic()
        move = Move(machine, server, name)
        killed = await move_and_kill(move, options, chance)
        moved = time.monotonic() - began
        rows = move.count()
        say("sending")
        await send_all(machine, sandbox, options.messages, 60.0)
        nursery.close()
        order = [int(one.subject[1:]) for one in sandbox.messages]
        small = [one for one in order if one % _HUNDRED]
        result = {
            "messages": options.messages,
            "kills": killed,
            "seconds for the move": round(moved, 1),
            "rows missing": options.messages - rows,
            "sent": len(order),
            "missing": options.messages - len(set(order)),
            "sent twice": len(order) - len(set(order)),
            "out of order": sum(1 for one, other in pairwise(small) if other < one),
        }
    server.remove()
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=8)
    return start(run, parser, "move")


if __name__ == "__main__":
    sys.exit(main())
