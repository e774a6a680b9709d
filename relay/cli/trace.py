"""`relay trace`: one message's life."""

from collections.abc import Iterator
from typing import Any

import click

from relay.cli import config_option, json_option
from relay.cli.startup import ask, read_config
from relay.cli.terminal import echo, print_json

Answer = dict[str, Any]


@click.command()
@click.argument("queue_id")
@config_option
@json_option
def command(queue_id: str, config_path: str | None, *, as_json: bool) -> None:
    """Tell what happened to a message, from the connection that brought it to the last answer.

    The id stands in the reply that the client got, and in every line of the log.
    """
    answer = ask(read_config(config_path), "trace", queue_id=queue_id)
    if as_json:
        print_json(answer)
        return
    for key, value in _lines(answer):
        echo(f"{key:>11}  {value}".rstrip())


def _lines(life: Answer) -> Iterator[tuple[str, str]]:
    session, envelope, outcome = life["session"], life["envelope"], life["outcome"]
    yield "message", life["queue_id"]
    yield "arrival", life["arrival"]
    yield "client", _client(session)
    yield "TLS", session["tls"] or "none"
    yield "login", session["user"] or "none"
    yield "from", envelope["reverse_path"] or "<> (null reverse-path)"
    yield from zip(("to", *[""] * len(envelope["forward_paths"])), envelope["forward_paths"], strict=False)
    yield "content", f"{life['content']['size']} octets, SHA-256 {life['content']['sha256']}"
    yield "account", life["account"]
    for loss in life["losses"]:
        yield (
            "loss",
            f"{loss['loss']}: {loss['detail']}" + ("" if loss["weight"] == "notable" else " (usual)"),
        )
    for one in life["attempts"]:
        yield "attempt", _attempt(one)
        if one.get("diagnostic"):
            yield "", f"Works said: {one['diagnostic']}"
    for event in life["events"]:
        detail = ", ".join(f"{key} {value}" for key, value in event["detail"].items())
        yield "event", f"{event['at']}  {event['event']}  {detail}".rstrip()
    yield "state", f"{outcome['state']}  {outcome['status']} {outcome['reason']}".rstrip()
    if outcome["next_attempt"]:
        yield "next", outcome["next_attempt"]
    for recipient in outcome["refused"]:
        yield "refused", recipient


def _client(session: Answer) -> str:
    if not session["client"]:
        return "a command on this machine" if session["origin"] == "command" else "the relay itself"
    name = session["helo"] or "no name given"
    return f"{session['client']} ({name}) at {session['listener']}, session {session['id']}"


def _attempt(one: Answer) -> str:
    to = f"{len(one['recipients'])} recipient{'s' * (len(one['recipients']) != 1)}"
    begin = f"{one['attempt']}.{one['request'] + 1}  {one['started']}  to {to}"
    if one["seconds"] is None:
        return f"{begin}: under way"
    answer = f"HTTP {one['http_status']}" if one["http_status"] else "no answer"
    words = [one["action"], one["status"], answer, one["code"], f"in {one['seconds']} s:", one["reason"]]
    return f"{begin}: {' '.join(word for word in words if word)}"
