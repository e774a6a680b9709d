"""`relay trace`: find a message, and tell its life."""

from collections.abc import Iterator
from typing import Any

import click

from relay.cli import EX_NOINPUT, Failure, config_option, json_option
from relay.cli.finding import criteria_options, say_count, show_message
from relay.cli.startup import ask, read_config
from relay.cli.terminal import echo, print_answer, print_json, show_time
from relay.host.display import count
from relay.operator.trace import write_reply
from relay.spool import REPLIED

Answer = dict[str, Any]


@click.command()
@click.argument("queue_id", required=False)
@criteria_options
@click.option(
    "--subject-id",
    "part_of_id",
    default="",
    metavar="PART",
    help="With this in its id. Subjects are not kept.",
)
@config_option
@json_option
def command(
    queue_id: str | None,
    config_path: str | None,
    *,
    as_json: bool,
    part_of_id: str,
    states: tuple[str, ...],
    **criteria: Any,
) -> None:
    """Tell what happened to a message, from the connection that brought it to the last answer.

    QUEUE_ID stands in the reply that the client got, and in every line of the log. Without it messages are
    found by the options, whatever became of them; one alone is told whole. A subject is not among them: none
    is kept, so that nobody reads other people's mail here. The account's Sent folder has it.

    \b
      relay trace 1M8KQZ4T7XW0R2B5C
      relay trace --to yamada --since 14:00
    """  # noqa: D301 - click's mark is the character itself
    config = read_config(config_path)
    given = [value for name, value in criteria.items() if value and name != "limit"]
    if bool(queue_id) == bool(given or states or part_of_id):
        raise click.UsageError("name a message by its id, or find it by --to, --from, --since, …")
    if queue_id:
        print_answer(ask(config, "trace", queue_id=queue_id), _show, as_json=as_json)
        return
    found = ask(config, "queue_list", states=list(states), queue_id=part_of_id, **criteria)
    if as_json:
        print_json({"messages": found["messages"], "total": found["total"]})
    elif found["total"] == 1:
        _show(ask(config, "trace", queue_id=found["messages"][0]["queue_id"]))
    else:
        _list(found)


def _list(found: Answer) -> None:
    for message in found["messages"]:
        echo("\n".join(show_message(message)))
    if not found["messages"]:
        raise Failure("no message fits; what ended is forgotten after [spool] keep_history", EX_NOINPUT)
    echo(say_count(found) or f"{found['total']:,} messages; relay trace ID tells one of them whole")


def _show(life: Answer) -> None:
    for key, value in _lines(life):
        echo(f"{key:>11}  {value}".rstrip())


def _lines(life: Answer) -> Iterator[tuple[str, str]]:
    session, envelope, outcome = life["session"], life["envelope"], life["outcome"]
    yield "message", life["queue_id"]
    yield "arrival", show_time(life["arrival"], "seconds")
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
    if life["reply"]:
        yield "reply", tell_reply(life["reply"])
    for event in life["events"]:
        if event["event"] == REPLIED:
            continue  # it is the reply's own line
        detail = ", ".join(f"{key} {value}" for key, value in event["detail"].items())
        yield "event", f"{show_time(event['at'], 'seconds')}  {event['event']}  {detail}".rstrip()
    yield "state", f"{outcome['state']}  {outcome['status']} {outcome['reason']}".rstrip()
    if outcome["next_attempt"]:
        yield "next", show_time(outcome["next_attempt"], "seconds")
    for recipient in outcome["refused"]:
        yield "refused", recipient


def tell_reply(reply: Answer) -> str:
    """What the client heard, and when."""
    if reply["heard"] is None:
        return "not recorded"
    if not reply["heard"]:
        return f"none: the client was gone at {show_time(reply['at'], 'seconds')}, before it could hear one"
    return f"{write_reply(reply)} (at {show_time(reply['at'], 'seconds')})"


def _client(session: Answer) -> str:
    if not session["client"]:
        return "a command on this machine" if session["origin"] == "command" else "the relay itself"
    name = session["helo"] or "no name given"
    return f"{session['client']} ({name}) at {session['listener']}, session {session['id']}"


def _attempt(one: Answer) -> str:
    to = count(len(one["recipients"]), "recipient")
    begin = f"{one['attempt']}.{one['request'] + 1}  {show_time(one['started'], 'seconds')}  to {to}"
    if one["seconds"] is None:
        return f"{begin}: under way"
    answer = f"HTTP {one['http_status']}" if one["http_status"] else "no answer"
    words = [one["action"], one["status"], answer, one["code"], f"in {one['seconds']} s:", one["reason"]]
    return f"{begin}: {' '.join(word for word in words if word)}"
