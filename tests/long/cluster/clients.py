"""Clients of several nodes: each sends to any of them, and goes to another one when that is gone."""

import asyncio
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.long.crash.harness import Client, Ledger, compose, kind_of


@dataclass
class Book(Ledger):
    """What the clients were told, and when."""

    heard_at: dict[int, float] = field(default_factory=dict)  # number → epoch seconds
    left: set[int] = field(default_factory=set)  # of these a client left before it had a reply
    moved: int = 0  # tries at another node than the one before


class Door:
    """What a client connects to: any machine, but not the one that it has just left."""

    def __init__(self, machines, chance):
        self.machines, self._chance = machines, chance
        self.last = None

    @property
    def port(self):
        others = [one for one in self.machines if one is not self.last]
        self.last = self._chance.choice(others or self.machines)
        return self.last.port


class Caller(Client):
    """A client that now and then leaves before the reply, and sends again at another node."""

    def __init__(self, door, book, chance, *, leaves=0.0, patience=30.0):
        super().__init__(door, patience)
        self._door, self._book, self._chance, self._leaves = door, book, chance, leaves
        self._dotted = False  # the message has been handed over

    async def insist(self, number, octets):
        tries, before = 0, self._door.last
        while True:
            tries += 1
            answer = await self.submit(number, octets)
            if answer is None and self._relay.last is not before and tries > 1:
                self._book.moved += 1
            if answer is not None and answer[:1] in "25":
                self._book.heard_at[number] = time.time()
                return answer, tries
            before = self._door.last
            await asyncio.sleep(self._chance.choice([0, 0.1]))

    async def submit(self, number, octets):
        try:
            return await self._try(number, octets)
        except TimeoutError:
            return self._leave(number)
        except (OSError, EOFError):
            self.hang_up()
            return None

    async def _say(self, line):
        self._dotted = line.endswith(b"\r\n.")
        if not self._dotted or self._chance.random() >= self._leaves:
            return await super()._say(line)
        self._streams[1].write(line + b"\r\n")
        async with asyncio.timeout(self._chance.uniform(0, 0.3)):
            return (await self._streams[0].readuntil(b"\n")).decode()

    def _leave(self, number):
        """Hear no more; what has come by now was heard."""
        answer = None
        if self._streams is not None and self._dotted:
            came = bytes(self._streams[0]._buffer)
            connected = socket.socket(fileno=os.dup(self._streams[1].get_extra_info("socket").fileno()))
            with connected, suppress(OSError):
                came += connected.recv(4096)
            answer = came.decode() if came.endswith(b"\n") else None
            self._book.left.add(number)
        self.hang_up()
        return answer if answer and answer[:1] in "25" else None


class Load:
    """Clients that never tire; each takes the next number."""

    def __init__(self, machines, book, chance, connections, *, leaves=0.0, every=0.0, first=0):
        self._book, self._every, self.next = book, every, first
        self._doors = [Door(machines, chance) for _ in range(connections)]
        self.is_enough_waiting = lambda: False  # then the clients rest
        self.enough = asyncio.Event()
        callers = [
            # Of clients that leave every fifth loses its patience with a machine that is stopped.
            Caller(door, book, chance, leaves=leaves, patience=5.0 if leaves and at % 5 == 0 else 60.0)
            for at, door in enumerate(self._doors)
        ]
        self._tasks = [asyncio.create_task(self._work(one)) for one in callers]

    async def _work(self, caller):
        while not self.enough.is_set():
            if self.is_enough_waiting():
                await asyncio.sleep(0.1)
                continue
            self.next += 1
            number = self.next
            octets = compose(number, kind_of(number))
            self._book.enter(number, *await caller.insist(number, octets))
            if self._every:
                await asyncio.sleep(self._every)
            if number % 10 == 0:
                caller.hang_up()  # the next message goes to another node
        caller.hang_up()

    def move(self, machines):
        """From the next connection on, go to these."""
        for door in self._doors:
            door.machines = machines

    async def end(self):
        self.enough.set()
        await asyncio.gather(*self._tasks)
