"""What a console shows, set by the test."""

from dataclasses import dataclass, field

from relay.console.status import AccountStatus, ListenerStatus, MessageStatus, Overview
from relay.operator.verbs import Refused

NOW = 1_800_000_000.0
DAY = 86400.0
OVERVIEW = Overview(
    hostname="relay.example.com",
    version="0.1.0",
    now=NOW,
    started=NOW - 90 * 60,
    listeners=(ListenerStatus("127.0.0.1:2525", "none", "off", ("127.0.0.0/8", "::1/128"), 3),),
    accounts=(
        AccountStatus(
            "scanner", "scanner@example.com", True, NOW - 40 * DAY, NOW + 50.5 * DAY, False, NOW - 30
        ),
        AccountStatus("erp", "erp@example.com", held="the grant is dead"),
    ),
    queue={"queued": 2, "delayed": 1, "held": 0, "failed": 0, "relayed": 1234},
    oldest=NOW - 600,
    messages=(
        MessageStatus(
            queue_id="q1",
            arrival=NOW - 600,
            account="scanner",
            client="192.0.2.7",
            reverse_path="",
            recipients=3,
            size=3 * 1024 * 1024,
            state="delayed",
            attempts=2,
            status="4.3.0",
            reason="Works is not available",
            next_attempt=NOW + 300,
            losses=("reply-to", "date"),
        ),
    ),
)


@dataclass
class Relay:
    """A status that a test can set; the service has the real one."""

    seen: Overview = OVERVIEW
    troubles: tuple[str, ...] = ()
    living: bool = True
    broken: bool = False
    asked: list[int] = field(default_factory=list)

    async def overview(self, messages):
        self.asked.append(messages)
        if self.broken:
            raise OSError("secret-detail")
        return self.seen

    async def problems(self):
        if self.broken:
            raise OSError("secret-detail")
        return self.troubles

    async def ask(self, name, verb, **arguments):
        raise Refused(f"nobody answers {verb} here")

    def alive(self):
        return self.living
