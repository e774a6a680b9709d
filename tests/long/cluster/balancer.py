"""HAProxy in front of two machines, as docs/cluster.md has it, and one of them is killed under load.

    python -m tests.long.cluster.balancer --kills 6

The configuration is the document's, with these machines' addresses and ports. A client that cannot connect,
or is told to come again, does so at once. Connections may be refused only while the check has not noticed
yet that a machine is gone, or that it is back. Exit code 1 if one was refused at another time, or mail was
lost or sent twice without a record.
"""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack

from tests.long.cluster.clients import Book, Load
from tests.long.cluster.judging import Verdict, rows
from tests.long.cluster.kill import WRONG as WRONG_MAIL
from tests.long.cluster.machines import Machine, Site, database_server
from tests.long.cluster.witness import Witness
from tests.long.crash.harness import chance_of, finish, make_parser, say, start, works
from tests.support import ROOT
from tests.support.ports import free_port

WRONG = (*WRONG_MAIL, "refused_though_the_check_had_noticed")
GLOBAL = """
global
    log stderr format raw daemon
defaults
    timeout connect 5s
    timeout client 5m
    timeout server 5m
"""
NOTICES_WITHIN = 2 * 2.0 + 2.0  # seconds: inter 2s, fall 2, and the check's own time-out


def find_block(text, language, begins):
    """The block of this language that holds these words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(one for one in blocks if begins in one)


def configure(folder, machines, port):
    """The document's configuration for these machines; its path."""
    text = find_block((ROOT / "docs" / "cluster.md").read_text(), "ini", "frontend smtp")
    text = text.replace("bind :25", f"bind 127.0.0.1:{port}")
    text = re.sub(r" check port \d+", " check", text)
    servers = iter(machines)

    def rename(found):
        one = next(servers)
        return f"server {found[1]} 127.0.0.1:{one.port} port {one.console}"

    text = re.sub(r"server (\w+) [\d.]+:\d+", rename, text)
    path = folder / "haproxy.cfg"
    path.write_text(GLOBAL + text)
    return path


def begin_balancer(stack, path):
    """HAProxy by this configuration, until the stack is left."""
    with path.with_suffix(".log").open("w") as log:
        process = subprocess.Popen([shutil.which("haproxy"), "-db", "-f", path], stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.terminate)


class Balanced(Machine):
    """A machine as the document has it behind a balancer."""

    def __init__(self, folder, url, database):
        self.console = free_port()
        listener = "[[listener]]\n"
        changes = [
            (listener, f'{listener}proxy_networks = ["127.0.0.1"]\nnetworks = ["127.0.0.0/8"]\n'),
            ('[console]\naddress = ""', f'[console]\naddress = "127.0.0.1:{self.console}"'),
        ]
        super().__init__(folder, url, database, None, changes=changes)


class Front:
    """What clients connect to."""

    def __init__(self, port):
        self.port, self.name = port, "balancer"


async def look(front, refused, pause=0.05):
    """Connect again and again, for ever; notes the times of what got no greeting."""
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
                greeting = await reader.readline()
            writer.transport.abort()
            if not greeting.startswith(b"220"):
                refused.append((began, time.monotonic()))
        except (OSError, TimeoutError):
            refused.append((began, time.monotonic()))
        await asyncio.sleep(pause)


def find_delay(times, kills):
    """Seconds from a kill until a connection began that was refused; less than 0 if it was there before."""
    began, ended = times
    return min((began - killed for killed in kills if ended >= killed), default=float("inf"))


async def run(options, folder):
    chance, book, made = chance_of(options.seed), Book(), []

    def before(app):
        made.append(Witness(app, chance))
        return made[0]

    async with AsyncExitStack() as stack:
        server, name = await stack.enter_async_context(database_server())
        sandbox, url = await stack.enter_async_context(works(before=before))
        database = server.url(name, "relay")
        machines = [Balanced(folder / f"n{at}", url, database) for at in range(2)]
        site = Site(machines, server, name)
        await site.begin(sandbox, stack)
        front = Front(free_port())
        begin_balancer(stack, configure(folder, machines, front.port))
        refused, kills = [], []
        await asyncio.sleep(5)  # rise 2
        load = Load([front], book, chance, options.connections)
        looking = asyncio.create_task(look(front, refused))
        for number in range(options.kills):
            victim = machines[number % 2]
            await asyncio.sleep(chance.uniform(3, 6))
            victim.stay_away(10.0)
            kills.append(time.monotonic())
            victim.signal(signal.SIGKILL)
            say(f"killed {victim.name}: {len(book.accepted)} accepted, {len(refused)} refused until now")
            await asyncio.sleep(10.0)
            await site.all_listen()
            await asyncio.sleep(NOTICES_WITHIN)
        looking.cancel()
        await load.end()
        await site.all_listen()
        await machines[0].drain()
        verdict = Verdict(book, sandbox, made[0], rows(server, name), lambda query: server.sql(query, name))
        late = [find_delay(times, kills) for times in refused]
        result = {
            "kills": len(kills),
            **verdict.figures(),
            "connections_refused": len(refused),
            "the_last_began_after_seconds": round(max(late, default=0.0), 1),
            "refused_though_the_check_had_noticed": sum(one > NOTICES_WITHIN for one in late),
        }
        for number in list(verdict.wrong)[:10]:
            say(verdict.explain(number))
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--connections", type=int, default=8)
    return start(run, parser, "balancer")


if __name__ == "__main__":
    sys.exit(main())
