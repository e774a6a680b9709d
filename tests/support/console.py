"""What a console shows, set by the test."""

from dataclasses import dataclass, field

from relay.operator.calling import Refused
from relay.operator.state import (
    Account,
    Concern,
    Disk,
    Grant,
    GrantHealth,
    Headline,
    Hold,
    Listener,
    Moment,
    Node,
    Queue,
    RelayState,
    Use,
)
from relay.operator.trouble import Health
from relay.spool import State

NOW = 1_800_000_000.0
DAY = 86400.0
COUNTS = {State.QUEUED: 2, State.DELAYED: 1, State.HELD: 0, State.FAILED: 0, State.RELAYED: 1234}
STATE = RelayState(
    health=Health.BAD,
    headline=Headline("account erp: the grant is dead", Moment(NOW - 60), waiting=3),
    hostname="relay.example.com",
    version="0.1.0",
    now=Moment(NOW),
    started=Moment(NOW - 90 * 60),
    sending=True,
    outage=None,
    requests=Use(12, 240),
    disk=Disk(5 * 1024**3, 50 * 1024**2, accepting=True),
    queue=Queue(COUNTS, 3, Moment(NOW - 600)),
    accounts=(
        Account(
            "scanner",
            "scanner@example.com",
            default=True,
            grant=Grant(
                GrantHealth.ALIVE, whose="scanner@example.com", dies_at=Moment(NOW + 50.5 * DAY), days_left=50
            ),
            minute=Use(3, 60),
            day=Use(120, 20_000),
        ),
        Account(
            "erp",
            "erp@example.com",
            default=False,
            grant=Grant(GrantHealth.DEAD, "the grant is dead", days_left=0),
            hold=Hold("the grant is dead", "4.7.0", Moment(NOW - 60), person=True, next_probe=None),
        ),
    ),
    listeners=(Listener("127.0.0.1:2525", "none", "off", ("127.0.0.0/8", "::1/128"), 3),),
    concerns=(
        Concern(
            "account",
            "erp",
            Health.BAD,
            "the grant is dead",
            "sudo relay login erp",
            Moment(NOW - 60),
            person=True,
        ),
    ),
)
_HOUR = 3600.0
NODES = (
    Node(
        *("relay-a.example", "0.1.0", Moment(NOW - 2 * _HOUR), Moment(NOW - 1)),
        alive=True,
        this=True,
        sends_since=Moment(NOW - _HOUR),
        sessions=1_203,
        accepting=True,
        reason="",
        differs=False,
    ),
    Node(
        *("relay-b.example", "0.2.0", Moment(NOW - 3 * _HOUR), Moment(NOW - 300)),
        alive=False,
        this=False,
        sends_since=None,
        sessions=0,
        accepting=None,
        reason="",
        differs=True,
    ),
    Node(
        *("relay-c.example", "0.1.0", Moment(NOW - _HOUR), Moment(NOW - 1)),
        alive=True,
        this=False,
        sends_since=None,
        sessions=2,
        accepting=False,
        reason="the disk is full",
        differs=False,
    ),
)
MESSAGE = {
    "queue_id": "1M8MGV58FH94WCSH5",
    "state": "delayed",
    "account": "scanner",
    "arrival": "2027-01-15T07:50:00+00:00",
    "reverse_path": "",
    "forward_paths": ["a@example.com", "b@example.com", "c@example.com"],
    "client": "192.0.2.7",
    "user": None,
    "size": 3 * 1024 * 1024,
    "attempts": 2,
    "unknowns": 0,
    "next_attempt": "2027-01-15T08:05:00+00:00",
    "status": "4.3.0",
    "reason": "Works is not available",
    "hold": "",
    "losses": [
        {"loss": "reply-to", "detail": "b@example.net", "weight": "notable"},
        {"loss": "date", "detail": "", "weight": "usual"},
    ],
    "relayed": [],
    "refused": [],
}


@dataclass
class Relay:
    """A relay that a test can set; the service has the real one."""

    seen: RelayState = STATE
    messages: list = field(default_factory=lambda: [MESSAGE])
    troubles: tuple[str, ...] = ()
    living: bool = True
    broken: bool = False

    def account_names(self):
        return tuple(one.name for one in self.seen.accounts)

    async def state(self):
        if self.broken:
            raise OSError("secret-detail")
        return self.seen

    async def hours(self, number):
        return [(NOW - hour * 3600, {"relayed": hour, "held": 1}) for hour in reversed(range(number))]

    async def ask(self, name, verb, **arguments):
        if verb == "queue_list":
            return {"messages": self.messages, "total": len(self.messages), "counts": {}, "held_accounts": {}}
        raise Refused(f"nobody answers {verb} here")

    async def problems(self):
        if self.broken:
            raise OSError("secret-detail")
        return self.troubles

    def alive(self):
        return self.living
