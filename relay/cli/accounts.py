"""`relay accounts`: the accounts and their grants."""

import asyncio
import contextlib
import time
from typing import Any

import click
from rich.table import Table

from relay import cli
from relay.cli.startup import choose_account, read_config
from relay.cli.status import read_accounts
from relay.cli.terminal import echo, make_console, print_answer, show_time
from relay.config.model import Account, Config
from relay.grants import Grant, GrantError, explain_unverified
from relay.host.clock import to_iso
from relay.operator.state import GrantHealth
from relay.stores import open_grants
from relay.works.auth.consent import confirm
from relay.works.auth.keeping import Keeping

_DAY = 86400.0


@click.command()
@click.option(
    "--confirm",
    "confirmed",
    metavar="NAME",
    help="Say that you have seen whose mailbox this account sends from.",
)
@cli.config_option
@cli.json_option
def command(confirmed: str | None, config_path: str | None, *, as_json: bool) -> None:
    """Show the accounts and their grants: whose, age, days left, rotation, last use.

    With "mail user.read" as `works.scope` it is asked whose mailbox consented. Without, a grant is unverified
    until a person confirms it.
    """
    config = read_config(config_path)
    grants, now = open_grants(config), time.time()
    if confirmed is not None:
        choose_account(config, confirmed)
        try:
            asyncio.run(confirm(grants.store, confirmed))
        except GrantError as error:
            raise cli.Failure(str(error), cli.EX_CANTCREAT) from None
    rows = asyncio.run(_describe_all(config, grants, now))
    print_answer(rows, _print, as_json=as_json)


async def _describe_all(config: Config, grants: Keeping, now: float) -> list[dict[str, Any]]:
    stand = await read_accounts(config, grants)
    return [await _describe(account, grants, stand[account.name], now) for account in config.account]


async def _describe(account: Account, grants: Keeping, stands: dict[str, Any], now: float) -> dict[str, Any]:
    """Args:
    account: which.
    grants: where its grant is kept.
    stands: how it stands, as `relay status --json` says it.
    now: seconds since the epoch.
    """
    health = stands["grant"]["health"]
    grant = None
    with contextlib.suppress(GrantError):
        grant = (await grants.load(account.name)).grant
    described = _describe_grant(grant, now) if grant else None
    if described and health == GrantHealth.DEAD:
        described["days_left"] = 0.0
    return {
        "name": account.name,
        "address": account.address,
        "user_id": account.user_id,
        "default": account.default,
        "state": health,
        "grant": described,
        "held": stands["hold"],
        "problem": _explain(account, stands),
        "unreadable": health == GrantHealth.UNREADABLE,
    }


def _describe_grant(grant: Grant, now: float) -> dict[str, Any]:
    return {
        "whose": grant.whose or None,
        "verified": grant.is_verified,
        "confirmed_at": to_iso(grant.confirmed_at) if grant.confirmed_at else None,
        "scope": grant.scope,
        "consented_at": to_iso(grant.consented_at),
        "age_days": round((now - grant.consented_at) / _DAY, 1),
        "dies_at": to_iso(grant.refresh_expires_at),
        # Cut, not rounded: no day is counted that is not whole.
        "days_left": int(max(0.0, grant.refresh_expires_at - now) / _DAY * 10) / 10,
        "rotation": grant.rotation,
        "last_used_at": to_iso(grant.used_at) if grant.used_at else None,
        "refreshed_at": to_iso(grant.issued_at),
        "access_token_expires_at": to_iso(grant.expires_at),
        "refresh_interrupted": grant.refresh_started_at is not None,
    }


def _explain(account: Account, stands: dict[str, Any]) -> str | None:
    """What a person has to do about an account, and why."""
    health, problem = stands["grant"]["health"], stands["grant"]["problem"]
    if health == GrantHealth.MISSING:
        return f"nobody has consented; run: sudo relay login {account.name}"
    if health == GrantHealth.DEAD:
        return f"the grant is dead ({problem}); run: sudo relay login {account.name}"
    if health in (GrantHealth.UNREADABLE, GrantHealth.UNKNOWN):
        return f"{problem}"
    if (hold := stands["hold"]) and hold["person"]:
        return f"its mail is held since {show_time(hold['since'])}: {hold['reason']}"
    return None


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("account", "address", "grant", "consented", "days left", "rotation", "last use"):
        table.add_column(title, no_wrap=True)
    for row in rows:
        grant = row["grant"] or {}
        rotation = {True: "on", False: "off", None: "not seen yet"}[grant.get("rotation")] if grant else ""
        days = "" if not grant else f"{int(grant['days_left'])}"  # whole days, as elsewhere
        absent = "unknown" if row["unreadable"] else "never"
        cells = [f"{grant['age_days']:.0f} days ago" if grant else absent, days, rotation]
        used = grant.get("last_used_at")
        table.add_row(
            row["name"] + (" (default)" if row["default"] else ""),
            row["address"],
            row["state"] + (", held" if row["held"] and row["held"]["person"] else ""),
            *cells,
            show_time(used) if used else "",
        )
    make_console(width=160, soft_wrap=True).print(table)
    for row in rows:
        whose = (row["grant"] or {}).get("whose") or row["address"]
        if whose.lower() != row["address"].lower():  # `relay login --any-mailbox`
            echo(f"{row['name']}: the grant is {whose}'s, not {row['address']}'s")
        if row["problem"]:
            echo(f"{row['name']}: {row['problem']}")
        elif row["grant"] and not row["grant"]["verified"]:
            echo(f"{row['name']}: {explain_unverified(row['name'], row['address'])}")
