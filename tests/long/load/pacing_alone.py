"""How fast a backlog drains under the limits of Works, and whether a limit is ever exceeded.

    python -m tests.long.load.pacing_alone --messages 10000 --accounts 5
    python -m tests.long.load.pacing_alone --messages 1000 --accounts 1

Client and pacing work against the simulated Works, which counts for itself; the clocks of both are
moved together, so that an hour takes seconds. It prints the share of the permitted rate that was
reached, and the most calls that any 60 seconds held, as the simulated Works saw them.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from types import SimpleNamespace

from pydantic import SecretStr

from relay.console.server import serving
from relay.envelope import Content
from relay.outcome import Action
from relay.sandbox import Sandbox, Settings
from relay.works.client import Client
from relay.works.pace.pacing import Pacing
from tests.support.windows import most_in, permitted

BODY = b'{"to":"a@example.com","subject":"s","body":"b","contentType":"text"}'
HALF_HOUR, MINUTE = 1800.0, 60.0


class Payload:
    """A small mail."""

    length = len(BODY)

    def blocks(self, _):
        yield BODY


class Tokens:
    """The access tokens of some mailboxes."""

    def __init__(self, sandbox, names):
        self._tokens = {name: sandbox.issue_grant(f"{name}@example.com")["access_token"] for name in names}

    async def token(self, account, rejected=""):
        assert not rejected
        return self._tokens[account]


async def drain(sandbox, client, pacing, left):
    """Send what is left, as fast as slots come."""
    content = Content(0, "", data=b"")

    async def send(name, slot):
        with slot:
            slot.bind(1)
            account = SimpleNamespace(name=name, user_id="me")
            outcome = await client.send(account, Payload(), content, budget=slot)
            assert outcome.action is Action.RELAYED, outcome

    while any(left.values()):
        slots = [(name, slot) for name in list(left) if left[name] and (slot := pacing.take(name))]
        for name, _ in slots:
            left[name] = left.pop(name) - 1  # to the end of the line
        await asyncio.gather(*[send(name, slot) for name, slot in slots])
        if not slots:
            sandbox.clock.move(max(0.005, min(pacing.next_free(name) for name in left if left[name])))


async def run(messages, accounts):
    settings = Settings(keep=0)
    sandbox = Sandbox(settings)
    names = [f"box{number}" for number in range(accounts)]
    began = time.monotonic()
    with contextlib.closing(sandbox):
        async with serving(sandbox.app) as server:
            works = SimpleNamespace(
                proxy=SecretStr(""),
                api_url=f"http://127.0.0.1:{server.port}/v1.0",
                connect_timeout=5.0,
                read_timeout=30.0,
            )
            client = Client(works, Tokens(sandbox, names))
            limits = SimpleNamespace(
                mails_per_minute=settings.mails_per_minute, recipients_per_day=settings.recipients_per_day
            )
            pacing = Pacing(settings.requests_per_minute, dict.fromkeys(names, limits), sandbox.clock.now)
            await drain(sandbox, client, pacing, dict.fromkeys(names, messages // accounts))
            await client.aclose()
        seen = sandbox.messages
        answers = sandbox.counts()["answers"]
    times = [message.time for message in seen]
    minutes = (times[-1] - times[0]) / MINUTE
    each = {name: [m.time for m in seen if m.account.startswith(name + "@")] for name in names}
    may = permitted(minutes, accounts, settings.requests_per_minute, settings.mails_per_minute)
    result = {
        "messages": len(seen),
        "answers": answers,
        "minutes": round(minutes, 2),
        "share_of_permitted": round(len(seen) / may, 4),
        "most_in_a_minute": most_in(times),
        "most_in_a_minute_of_one_mailbox": max(most_in(one) for one in each.values()),
        "most_in_a_minute_after_half_an_hour": most_in(
            [t for t in times if t > times[0] + HALF_HOUR] or [0.0]
        ),
        "took_seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result))
    kept = (
        set(answers) == {"202"}
        and result["share_of_permitted"] >= 0.95
        and result["most_in_a_minute"] <= settings.requests_per_minute
        and result["most_in_a_minute_of_one_mailbox"] <= settings.mails_per_minute
        and result["most_in_a_minute_after_half_an_hour"] <= settings.requests_per_minute // 2
    )
    return 0 if kept else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=5)
    wish = parser.parse_args()
    sys.exit(asyncio.run(run(wish.messages, wish.accounts)))


if __name__ == "__main__":
    main()
