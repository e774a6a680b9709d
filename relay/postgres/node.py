"""This node among the others: its row, its beat, and the lease of the one that sends.

The lease fences what *begins* (a start, an admission, maintenance): each such statement names the lease's
epoch and holds its row while it runs, so that a take-over and the statement wait for each other. How long a
node may believe in its lease is counted by its own boot clock from before the last renewal was sent, less a
margin: a machine that slept, or whose database does not answer, stops by itself.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from relay import __version__
from relay.host import safeio
from relay.host.clock import Clock
from relay.postgres.clocks import Clocks
from relay.postgres.database import NOW, Database
from relay.postgres.server import InDoubt
from relay.spool import SpoolError

log = structlog.get_logger("spool")
_MARGIN = 6  # a sixth of the lease's length
_HOME = "node-id"  # the file with the name of a state directory
_EXPIRED = 2  # an end more than two lengths ahead was written by a clock that was set
_LAST_WORDS = 1.5  # seconds for what an ending node says; the stop of a service has ten in all
ALIVE = 15.0  # seconds since its last beat, within which a node is believed to live and to hear its verdicts
# Begins every statement that only the sender may run; EXISTS (SELECT FROM fence) is its condition.
FENCE = (
    "WITH fence AS MATERIALIZED (SELECT 1 FROM relay.lease WHERE name = 'sender'"
    " AND holder = %(node)s AND epoch = %(epoch)s FOR SHARE)"
)


@dataclass(frozen=True, slots=True)
class Times:
    """How fast nodes find out about each other, in seconds."""

    lease: float = 30.0
    beat: float = 5.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lease, as the table says."""

    name: str
    epoch: int
    has_ended: bool  # it gave the lease back, or said that it ends
    is_late: bool  # it has not renewed it in time
    is_predecessor: bool  # of this state directory: it is certainly dead


def make_token() -> int:
    """A random number of 63 bits: never one twice."""
    return secrets.randbits(63)


def read_home(folder: Path) -> str:
    """The name of a state directory, which no other has.

    Raises:
        OSError: it cannot be read or written.
    """
    with contextlib.suppress(FileNotFoundError):
        if known := (folder / _HOME).read_text(encoding="ascii").strip():
            return known
    return write_home(folder)


def write_home(folder: Path) -> str:
    """Give a state directory a new name. Raises OSError."""
    made = secrets.token_hex(16)
    safeio.write_file(folder / _HOME, f"{made}\n".encode("ascii"))
    return made


class Node:
    """This process in the table of nodes, and its lease.

    Args:
        database: where the tables are.
        name: for people: the machine's.
        clock: the clocks.
        times: how fast.
    """

    def __init__(self, database: Database, name: str, clock: Clock, times: Times) -> None:
        self.token = make_token()
        self.name = name
        self.home = ""
        self.times = times
        self.answers = False  # whether the database took the last beat
        self._database = database
        self._clock = clock
        self._epoch: int | None = None
        self._valid_until = 0.0  # by the boot clock
        self._taken = 0.0  # when the lease was; by the boot clock
        self._answers_since = 0.0  # by the boot clock
        self.clocks = Clocks(clock)

    @property
    def term(self) -> int:
        """The epoch of the lease; 0: another node has it, as far as this one knows."""
        return self._epoch or 0

    @property
    def epoch(self) -> int:
        """Of the lease; 0: this node does not have it, or must not rely on it now."""
        return self.term if self._clock.boot() < self._valid_until else 0

    @property
    def sends_for(self) -> float:
        """Seconds since this node has taken the lease."""
        return self._clock.boot() - self._taken

    @property
    def silence(self) -> float:
        """Seconds without a beat, after which the sessions of a node are taken for over.

        Before its lease is over, so that whoever follows a node knows it.
        """
        return self.times.lease / 3

    @property
    def is_sender(self) -> bool:
        """Whether this node may begin to send."""
        return self.epoch != 0

    @property
    def fence(self) -> dict[str, Any]:
        """The values that FENCE names.

        Raises:
            SpoolError: this node must not begin anything now.
        """
        if not self.epoch:
            raise SpoolError("this node is not the sender")
        return {"node": self.token, "epoch": self.epoch}

    async def join(self, home: str) -> None:
        """Write this start's row. Raises SpoolError."""
        self.home = home
        query = (
            "INSERT INTO relay.node (token, name, home, program, started, seen)"
            f" VALUES (%s, %s, %s, %s, {NOW}, {NOW}) ON CONFLICT (token) DO UPDATE SET seen = {NOW}"
            " RETURNING seen"
        )
        asked = self._clock.wall()
        found = await self._database.write(query, (self.token, self.name, home, __version__))
        self.clocks.compare(asked, found[0][0])
        self._hear()

    def _hear(self) -> None:
        """The database answers."""
        if not self.answers:
            self.answers, self._answers_since = True, self._clock.boot()

    async def find_holder(self) -> Holder:
        """Who has the lease now. Raises SpoolError."""
        query = (
            f"SELECT coalesce(n.name, ''), l.epoch, l.holder IS NULL OR n.ended IS NOT NULL,"
            f" u.until < {NOW} OR u.until > {NOW} + %s,"
            " coalesce(n.home = %s AND n.started <= (SELECT started FROM relay.node WHERE token = %s), false)"
            " FROM relay.lease l JOIN relay.lease_until u USING (name)"
            " LEFT JOIN relay.node n ON n.token = l.holder WHERE l.name = 'sender'"
        )
        values = (_EXPIRED * self.times.lease, self.home, self.token)
        found = await self._database.read(query, values)
        if not found:
            raise SpoolError("the database has no lease row: run `relay spool migrate`")
        return Holder(*found[0])

    async def has_copy(self) -> bool:
        """Whether another process began in a state directory of this name, whose lock this one has.

        So it has a copy, as the clone of a machine does. Each took the other for its dead predecessor, and
        the lease from it. Raises SpoolError.
        """
        query = (
            "SELECT EXISTS (SELECT FROM relay.node later JOIN relay.node mine USING (home)"
            " WHERE mine.token = %s AND later.started > mine.started)"
        )
        return bool((await self._database.read(query, (self.token,)))[0][0])

    async def move(self, home: str) -> None:
        """Go by another name of the state directory. Raises SpoolError."""
        await self._database.write("UPDATE relay.node SET home = %s WHERE token = %s", (home, self.token))
        self.home = home
        log.warning("another machine has this one's node-id, as a copied disk does: this one has a new one")

    async def stand(self) -> bool:
        """Take the lease, if nobody has it who lives; whether it was taken. Raises SpoolError."""
        holder = await self.find_holder()
        # Who cannot reach the database renews nothing, and lives all the same: whoever has just begun to
        # reach it waits for the others' next beat.
        is_dead = holder.is_late and self._clock.boot() - self._answers_since >= self.times.beat
        return (holder.has_ended or holder.is_predecessor or is_dead) and await self.take(holder)

    async def take(self, holder: Holder) -> bool:
        """Take the lease from this holder, if nobody was faster. Raises SpoolError."""
        before, epoch = self._clock.boot(), make_token()
        query = (
            "WITH taken AS (UPDATE relay.lease SET holder = %(node)s, epoch = %(epoch)s"
            " WHERE name = 'sender' AND epoch = %(before)s RETURNING 1)"
            f" UPDATE relay.lease_until SET epoch = %(epoch)s, until = {NOW} + %(length)s, since = {NOW}"
            " WHERE name = 'sender' AND EXISTS (SELECT FROM taken) RETURNING 1"
        )
        values = {
            "node": self.token,
            "epoch": epoch,
            "before": holder.epoch,
            "length": self.times.lease,
        }
        try:
            taken = await self._database.write(query, values)
        except InDoubt:
            return False  # if it is ours after all, the next look finds this very node as its holder
        if taken:
            self._taken = self._clock.boot()
            self._believe(epoch, before)
            log.info("this node sends", node=self.name)
        return bool(taken)

    def _believe(self, epoch: int, before: float) -> None:
        self._epoch = epoch
        self._valid_until = before + self.times.lease * (1 - 1 / _MARGIN)

    async def beat(self) -> None:
        """Say that this node lives, and renew its lease. Raises SpoolError."""
        before, epoch = self._clock.boot(), self._epoch
        renewed = await self._beat(epoch or 0)
        self._hear()
        if epoch is None or epoch != self._epoch:
            return  # what this beat says is not of a lease that was taken since
        if renewed:
            self._believe(epoch, before)
        else:
            self._epoch = None
            log.warning("another node sends from now on", node=self.name)

    async def _beat(self, epoch: int) -> bool:
        """Both in one asynchronous commit: what is lost of it is only late."""
        query = (
            f"WITH alive AS (UPDATE relay.node SET seen = {NOW}, ended = NULL WHERE token = %s),"
            f" renewed AS (UPDATE relay.lease_until SET until = {NOW} + %s"
            " WHERE name = 'sender' AND epoch = %s AND EXISTS (SELECT FROM relay.lease"
            " WHERE name = 'sender' AND holder = %s AND epoch = %s) RETURNING 1)"
            f" SELECT {NOW}, EXISTS (SELECT FROM renewed)"
        )
        values = (self.token, self.times.lease, epoch, self.token, epoch)
        asked = self._clock.wall()
        ((now, renewed),) = await self._database.write_soon(query, values, pool=self._database.beat)
        self.clocks.compare(asked, now)
        return bool(renewed)

    async def run(self, on_change: Callable[[], None]) -> None:
        """Beat until cancelled; says when the database begins or ceases to answer, or the lease is lost."""
        while True:
            before = (self.answers, self.is_sender)
            try:
                async with asyncio.timeout(self.times.beat):
                    await self.beat()
            except (SpoolError, TimeoutError) as error:
                self.answers = False
                if before[0]:
                    log.error("the database does not answer", reason=str(error) or "no answer in time")
            if before != (self.answers, self.is_sender):
                on_change()
            await asyncio.sleep(self.times.beat if self.answers else self.times.beat / 5)

    async def hand_over(self) -> None:
        """Give the lease back; what cannot be said runs out by itself."""
        if (epoch := self.term) == 0:
            return
        self._epoch = None
        query = "UPDATE relay.lease SET holder = NULL WHERE name = 'sender' AND holder = %s AND epoch = %s"
        await self._say(query, (self.token, epoch))

    async def leave(self) -> None:
        """Say that this start has ended."""
        await self.hand_over()
        await self._say(f"UPDATE relay.node SET ended = {NOW} WHERE token = %s", (self.token,))

    async def _say(self, query: str, values: tuple[int, ...]) -> None:
        with contextlib.suppress(SpoolError, TimeoutError):
            async with asyncio.timeout(min(self.times.beat, _LAST_WORDS)):
                await self._database.write(query, values)
