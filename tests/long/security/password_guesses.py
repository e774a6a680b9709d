"""Guesses at a password: how many a connection gets, how many an address, and what they cost the loop.

From one address, fifty connections at once guess as fast as they are answered, and connect anew when
they are cut off. Counted are the verdicts ("wrong"); "locked" is none. A minute of it stands for the
hour because the count, once reached, stays for the hour. Meanwhile the event loop is sampled every
millisecond, before and during the attack: how late it comes, which other processes of the machine can
cause as well (the attacker is one), and how long it works at a stretch by its own clock, which is the
figure. At the end the right password still works from another address. Then eight connections log in with
the right password again and again, which keeps the hashing thread busy all the time. The attackers have the
lowest priority: elsewhere they would not be on the relay's machine.
"""

import asyncio
import base64
import os
import time

from argon2 import PasswordHasher

from tests.long.security.harness import command, main, percentile, relay

LISTENER = 'auth = "required"\nauth_without_tls = true\n'


def plain(name, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()).decode()


async def connect(port, source):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    await command(reader, writer, None)
    await command(reader, writer, "EHLO x")
    return reader, writer


async def guess(port, source, until, verdicts, connections):
    while time.monotonic() < until:
        mine = 0
        try:
            reader, writer = await connect(port, source)
            while True:
                answer = await command(reader, writer, plain("erp", f"guess{len(verdicts)}"), 60)
                if answer[:3] == "535" or "too many failed logins, closing" in answer:
                    mine += 1
                    verdicts.append(time.monotonic())
                if answer[:3] in ("421", ""):
                    break
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        else:
            writer.close()
        connections.append(mine)
        await asyncio.sleep(0.05)


async def attack(port, seconds, attackers):
    verdicts, connections = [], []
    until = time.monotonic() + seconds
    tasks = [guess(port, "127.0.0.1", until, verdicts, connections) for _ in range(attackers)]
    await asyncio.gather(*tasks)
    reader, writer = await connect(port, "127.0.0.2")
    answer = await command(reader, writer, plain("erp", "right"), 60)
    writer.close()
    return verdicts, connections, answer


async def log_in(port, until):
    count = 0
    while time.monotonic() < until:
        reader, writer = await connect(port, "127.0.0.3")
        count += (await command(reader, writer, plain("erp", "right"), 60)).startswith("235")
        writer.close()
    return count


async def log_in_together(port, seconds):
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(log_in(port, until) for _ in range(8))))


def longest(held, begin, end):
    """How late the loop came, and how long it worked at a stretch: 99.9 % within so many milliseconds."""
    within = [(late, worked) for at, late, worked in held if begin <= at < end]
    return [round(percentile(column, 0.999) * 1000, 2) for column in zip(*within, strict=True)]


def measure(*, short=False):
    seconds, attackers = (3, 10) if short else (60, 50)
    # The hash of `relay passwd`: what a guess really costs.
    user = f'[[user]]\nname = "erp"\npassword_hash = "{PasswordHasher(2, 19 * 1024, 1).hash("right")}"\n'
    with relay(listener=LISTENER, more=user, measure=True) as running:
        os.nice(19)
        times = [time.time()]
        time.sleep(seconds / 3)  # what the machine does to an idle loop
        times.append(time.time())
        verdicts, connections, answer = asyncio.run(attack(running.port, seconds, attackers))
        times.append(time.time())
        logins = asyncio.run(log_in_together(running.port, seconds / 3))
        times.append(time.time())
        running.process.terminate()
        running.process.wait(30)
        held = running.held()
    idle, attacked, hashing = (longest(held, *times[at : at + 2]) for at in range(3))
    right = answer.startswith("235")
    # What the machine does to an idle loop is not the door's.
    beyond = max(attacked[0] - idle[0], hashing[0] - idle[0], attacked[1], hashing[1])
    return {
        "seconds": seconds,
        "connections": len(connections),
        "most guesses a connection": max(connections),
        "guesses judged, this address": len(verdicts),
        "right logins a second": round(logins / seconds * 3, 1),
        "loop late, own work: p99.9 ms, idle": idle,
        "loop late, own work: p99.9 ms, guesses": attacked,
        "loop late, own work: p99.9 ms, logins": hashing,
        "right password, another address": answer.strip(),
        "reached": max(connections) <= 3 and len(verdicts) <= 60 and right and beyond <= 5,
    }


if __name__ == "__main__":
    main(measure, __doc__)
