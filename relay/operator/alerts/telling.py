"""Whom trouble reaches: what nobody would be told, and a trial of every way."""

import asyncio
import time
from dataclasses import dataclass

from relay.config.model import Config
from relay.host.clock import to_iso
from relay.operator.alerts.planning import Event
from relay.operator.alerts.ways import Alert, Way, WayError, find_ways


@dataclass(frozen=True, slots=True)
class Answer:
    """What a way said to a trial."""

    way: str
    told: bool
    text: str


def describe_ways(config: Config) -> str:
    """By which ways trouble is told; "" where there is none."""
    names = [f"[alert] {way.name}" for way in find_ways(config)]
    if config.delivery.notify:
        names.append(f"mail to {config.delivery.notify}")
    return ", ".join(names)


def find_untold(config: Config) -> list[str]:
    """The accounts of whose dead grant nobody would be told: mail about one needs another, or a fallback."""
    if find_ways(config):
        return []
    accounts = [account.name for account in config.account]
    if config.delivery.notify and (config.delivery.fallback or len(accounts) > 1):
        return []
    return accounts


async def try_ways(config: Config) -> list[Answer]:
    """Send a trial by every way at once, and give what each answered."""
    now = to_iso(time.time())
    alert = Alert(
        event=Event.TRIAL.value,
        text=f"{config.hostname}: a trial: trouble of this mail relay will be told here",
        hostname=config.hostname,
        kind="trial",
        name="",
        health="ok",
        reason="somebody asked for a trial",
        remedy="",
        since=now,
    )
    return await asyncio.gather(*(_try(way, alert) for way in find_ways(config)))


async def _try(way: Way, alert: Alert) -> Answer:
    try:
        return Answer(way.name, told=True, text=await way.tell(alert))
    except WayError as error:
        return Answer(way.name, told=False, text=str(error))
    except Exception as error:  # noqa: BLE001 - the class alone: its text may name a URL
        return Answer(way.name, told=False, text=type(error).__name__)
