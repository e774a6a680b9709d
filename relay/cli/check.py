"""`relay check`: what is wrong, and what to do, before a printer finds out."""

from typing import TYPE_CHECKING, Any

import click

from relay.cli import EX_UNAVAILABLE, Failure, config_option, json_option
from relay.cli.startup import read_config
from relay.cli.terminal import echo, print_json
from relay.config.model import Config

if TYPE_CHECKING:
    from relay.operator.findings import Finding

_MARKS = {"ok": ("green", "ok"), "warning": ("yellow", "warning"), "problem": ("red", "PROBLEM")}


@click.command()
@click.option(
    "--alert",
    "trial",
    is_flag=True,
    help="Only send a trial by every way of [alert], and say what it answered.",
)
@config_option
@json_option
def command(config_path: str | None, *, trial: bool, as_json: bool) -> None:
    """Check configuration, state directory, ports, spool, certificates, reachability and grants.

    Everything that `relay serve` does except take mail. Sends none; refreshes each grant once, which
    proves the consent and the client secret. Exits with 0 when mail can be relayed (there may be warnings),
    with 78 when the configuration cannot be used, else with 69.
    """
    config = read_config(config_path)
    if trial:
        _try_alerts(config, as_json=as_json)
        return
    import asyncio
    from dataclasses import asdict

    from relay.config.load import find
    from relay.host import logs
    from relay.operator.check import check
    from relay.operator.findings import Level

    logs.be_silent()  # what the grants' keeper would log is a finding here

    async def collect() -> "list[Finding]":
        found = []
        async for finding in check(config, find(config_path)):
            found.append(finding)
            if not as_json:
                _print(asdict(finding))
        return found

    findings = asyncio.run(collect())
    bad = any(finding.level is Level.PROBLEM for finding in findings)
    if as_json:
        print_json({"ready": not bad, "findings": [asdict(finding) for finding in findings]})
    else:
        echo(f"\n{_conclude(findings, [account.name for account in config.account])}")
    if bad:
        raise click.exceptions.Exit(EX_UNAVAILABLE)


def _try_alerts(config: Config, *, as_json: bool) -> None:
    """Tell a trial by every way; ends the command with 69 where one did not work, or there is none."""
    import asyncio
    from dataclasses import asdict

    from relay.operator.alerts.telling import try_ways

    answers = asyncio.run(try_ways(config))
    if not answers:
        raise Failure(
            "[alert] names no way to tell anybody; relay help relay.toml shows four", EX_UNAVAILABLE
        )
    if as_json:
        print_json([asdict(answer) for answer in answers])
    else:
        for answer in answers:
            level = "ok" if answer.told else "problem"
            _print({"subject": f"alert {answer.way}", "level": level, "text": answer.text, "remedy": ""})
    if not all(answer.told for answer in answers):
        raise click.exceptions.Exit(EX_UNAVAILABLE)


def _conclude(findings: "list[Finding]", accounts: list[str]) -> str:
    """What works, in a sentence."""
    problems = [one for one in findings if one.level == "problem"]
    if not problems:
        return "Ready: mail can be relayed."
    if all(one.mail_goes for one in problems):
        return "Mail can be relayed, and a person is needed: see PROBLEM above."
    broken = {one.account for one in problems if not one.mail_goes}
    good = [name for name in accounts if name not in broken]
    if "" in broken or not good:
        return "Mail cannot be relayed now."
    return f"Mail of {', '.join(good)} can be relayed, that of {', '.join(sorted(broken))} not yet."


def _print(finding: dict[str, Any]) -> None:
    colour, mark = _MARKS[finding["level"]]
    echo(f"  {finding['subject']}: {finding['text']}", head=click.style(f"{mark:>8}", fg=colour))
    if finding["remedy"]:
        echo(f"{'':>8}  → {finding['remedy']}")
