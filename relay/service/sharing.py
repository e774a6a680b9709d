"""What the nodes of one database know of each other: the sender says how it stands, the others show the same.

The sender writes at a change, at most once a second; every other node reads as often. So each shows the same
accounts, outage and troubles, its sessions know whether it is worth waiting, and the next sender begins with
what the last one knew. A node says of itself how many sessions it has and whether it takes mail.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from pydantic import TypeAdapter, ValidationError

from relay.config.current import Current
from relay.config.model import Config
from relay.courier import Courier, Standing
from relay.courier.handover import Chance, Standings
from relay.host.clock import to_local
from relay.operator.likeness import find_differences, fingerprint, name_keys
from relay.operator.reading import explain_room
from relay.operator.state import Account, Sent, Use
from relay.operator.trouble import Troubles
from relay.outcome import Trouble, TroubleKind
from relay.service.outlet import Outlet
from relay.spool import Board, NodeFacts, Published, Room, SpoolError
from relay.works.pace.pacing import Limits, Pacing

log = structlog.get_logger("service")
_EVERY = 1.0  # seconds
_SAY_EVERY = 5.0  # seconds between words of this node about itself, unless something changes
_UNKNOWN_MINUTE = 60.0  # seconds of the budget that is not known after a change of the primary
_RELOADED_WITHIN = 120.0  # seconds in which a person changes the configuration of one node after the other
_SILENCE = 120.0  # seconds without anybody who sends, after which each node says so


@dataclass(frozen=True, slots=True)
class Said:
    """What the sender says of itself."""

    standings: Standings
    limits: Limits
    troubles: tuple[Trouble, ...]
    sent: Sent
    chances: Mapping[str, Chance]


_SAID = TypeAdapter(Said)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of this node whose state is said."""

    courier: Courier
    standing: Standing
    pacing: Pacing
    troubles: Troubles
    read_accounts: Callable[[Config], Awaitable[tuple[Account, ...]]]
    outlet: Outlet
    room: Callable[[], Room]
    count_sessions: Callable[[], int]


class Sharing:
    """Says how this node is, and reads what the others say."""

    def __init__(self, board: Board, current: Current, parts: Parts) -> None:
        """Args:
        board: where it stands.
        current: the configuration.
        parts: whose state it is.
        """
        self._board = board
        self._current = current
        self._parts = parts
        self._written: Said | None = None
        self._said: tuple[int, bool, str, str] | None = None  # of this node
        self._said_at = 0.0  # by the loop's clock, as the next
        self._led_at = 0.0
        self._differs_since: dict[str, float] = {}  # by the node's name
        self.sent: Sent | None = None  # what the node that sends says; None: this one sends
        self.nodes: Sequence[NodeFacts] = ()

    async def take_over(self) -> None:
        """This node becomes the sender: begin with what the last one knew. Raises SpoolError."""
        found, parts = await self._board.read(), self._parts
        self.sent = self._written = None
        if found is not None and found.is_promoted:
            # The last requests may be missing in the new primary's table, but Works has counted them.
            log.warning("another database server is the primary", waits=_UNKNOWN_MINUTE)
            parts.pacing.wait(_UNKNOWN_MINUTE)
        if found is not None and (said := _load(found)) is not None:
            self._know(found, said)
            parts.standing.ask_soon()
        parts.troubles.lead()

    def _know(self, found: Published, said: Said) -> None:
        parts, age = self._parts, found.age
        parts.standing.take_over(said.standings.moved(parts.standing.now().steady, age))
        parts.troubles.mirror(said.troubles)
        limits = said.limits
        pause, holds_for = max(0.0, limits.pause - age), max(0.0, limits.holds_for - age)
        parts.pacing.take_over(replace(limits, pause=pause, holds_for=holds_for))

    async def run(self, term: Callable[[], int]) -> None:
        """Say or read for ever.

        Args:
            term: of this node as the sender; 0: another one is.
        """
        courier = self._parts.courier
        await asyncio.gather(self._share(term), self._parts.outlet.watch(lambda: courier.working))

    async def _share(self, term: Callable[[], int]) -> None:
        self._led_at = self._now()
        while True:
            try:
                await self._say()
                await (self._lead() if term() else self._follow())
            except SpoolError as error:
                self._led_at = self._now()  # who sends is not known while the database is away
                log.debug("nodes do not hear of each other now", reason=str(error))
            except Exception:
                log.exception("a look at the other nodes broke off")  # the next one may not
            await asyncio.sleep(_EVERY)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _lead(self) -> None:
        parts = self._parts
        if not parts.courier.working:
            self._note_sender(is_led=False)  # it begins just now, or cannot
            return
        for account in await self._board.take_released():
            parts.standing.release(account)
        self._judge_nodes()
        said = Said(
            parts.standing.hand_on(),
            parts.pacing.limits,
            tuple(parts.troubles.shared),
            Sent(await parts.read_accounts(self._current.config), Use(*parts.pacing.use())),
            parts.courier.chances(),
        )
        if self._written is None or _timeless(said) != _timeless(self._written):
            await self._board.publish(json.dumps(_SAID.dump_python(said, mode="json")))
            self._written = said
        self._note_sender(is_led=True)

    async def _follow(self) -> None:
        found = await self._board.read()
        said = None if found is None else _load(found)
        self.sent = said.sent if said else None
        is_led = found is not None and found.is_led
        if found is not None and said is not None:
            self._know(found, said)
        self._parts.courier.follow(said.chances if said and is_led else {})
        self._note_sender(is_led=is_led)

    def _note_sender(self, *, is_led: bool) -> None:
        now, troubles = self._now(), self._parts.troubles
        if is_led:
            self._led_at = now
            troubles.end(TroubleKind.NO_SENDER)
        elif now - self._led_at >= _SILENCE:
            troubles.begin(TroubleKind.NO_SENDER, "", "of the nodes that take mail none sends it")

    def _judge_nodes(self) -> None:
        """Nodes that are silent, or for long go by another configuration than this one, which sends."""
        own, troubles = fingerprint(self._current.config), self._parts.troubles
        differing = {
            one.name: keys
            for one in self.nodes
            if one.is_alive and (keys := find_differences(one.fingerprint, own))
        }
        now, before = self._now(), self._differs_since
        self._differs_since = {name: before.get(name, now) for name in differing}
        wrong = {
            name: "its configuration is another one than that of the node that sends: "
            + name_keys(differing[name])
            for name, since in self._differs_since.items()
            if now - since >= _RELOADED_WITHIN
        }
        is_up = self._parts.standing.outage is None  # else it is Works, and not that machine
        for one in self.nodes:
            if is_up and one.is_alive and one.accepting and one.trouble and not one.is_self:
                wrong[one.name] = one.trouble
            if not one.is_alive:
                wrong[one.name] = f"it has not been heard of since {to_local(one.seen, dated=True)}"
        for name, reason in wrong.items():
            troubles.begin(TroubleKind.NODE, name, reason)
        for known in troubles.shared:
            if known.kind is TroubleKind.NODE and known.name not in wrong:
                troubles.end(TroubleKind.NODE, known.name)

    async def _say(self) -> None:
        """Say how this node is, and look at the others."""
        self.nodes = await self._board.nodes()
        room, now = self._parts.room(), self._now()
        trouble = explain_room(room) or self._parts.outlet.problem
        sessions = self._parts.count_sessions()
        said = (sessions, room.accepting, trouble, fingerprint(self._current.config))
        if said != self._said or now - self._said_at >= _SAY_EVERY:
            await self._board.say(sessions, accepting=said[1], trouble=trouble, fingerprint=said[3])
            self._said, self._said_at = said, now


def _load(found: Published) -> Said | None:
    try:
        return _SAID.validate_json(found.state)
    except ValidationError:
        return None  # of another release: what it knew is found out anew


def _timeless(said: Said) -> Said:
    """The same, without the times that change by themselves."""
    standings, limits = replace(said.standings, at=0.0), replace(said.limits, pause=0.0, holds_for=0.0)
    return replace(said, standings=standings, limits=limits)
