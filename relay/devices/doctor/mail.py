"""Rules for the mail transaction: addresses, sizes, the order of commands, and what Works refused."""

from relay import reply
from relay.config.units import parse_size
from relay.devices.doctor.case import Advice, Case, Rule
from relay.devices.recorder import DeviceFault

_MEGABYTE = parse_size("1MB")


def _explain_several(case: Case) -> Advice:
    return Advice(
        "several-addresses",
        f"it puts several addresses into one recipient ({case.argument}): give each its own entry in the "
        "device's address book, or make a group of entries.",
    )


def _explain_several_senders(case: Case) -> Advice:
    return Advice(
        "several-senders",
        f"it puts more than one address into its sender ({case.argument}): enter one alone on its panel, "
        "such as scanner@example.com, without semicolons and commas.",
    )


def _explain_no_domain(case: Case) -> Advice:
    return Advice(
        "recipient-without-domain",
        f"its recipient '{case.path}' has no domain: enter the whole address, name@example.com.",
    )


def _explain_recipient(case: Case) -> Advice:
    return Advice(
        "bad-recipient",
        f"its recipient '{case.path}' is not an address that mail can carry: correct it in the device's "
        "address book; quotes, spaces, brackets and semicolons are not taken.",
    )


def _explain_sender(case: Case) -> Advice:
    if case.path.count("@") > 1:
        return _explain_several_senders(case)
    return Advice(
        "bad-sender",
        f"its sender '{case.path}' is not an address that mail can carry: enter one like "
        "scanner@example.com on its panel.",
    )


_NEEDS_UTF8 = Advice(
    "needs-smtputf8",
    "it uses an address with characters outside ASCII without saying SMTPUTF8: enter an address in "
    "plain ASCII.",
)


def _explain_domain(case: Case) -> Advice:
    return Advice(
        "recipient-domain",
        f"it sends to {case.path or 'a domain'}, which is not allowed from there: correct the recipient in "
        "its address book, or add the domain to recipient_domains of its listener or user.",
        "relay",
    )


def _explain_size(case: Case) -> Advice:
    listener = case.listener
    most = f" (files of {case.config.files_limit(listener) / _MEGABYTE:.1f} MB together)" if listener else ""
    own = listener is not None and listener.message_limit != ""
    other = "raise message_limit of its listener" if own else "send a link: Works itself takes no more"
    return Advice(
        "too-large",
        f"its message is larger than the relay takes{most}: scan with fewer pages, less dpi or in black and "
        f"white, or {other}.",
    )


_TOO_MANY_RECIPIENTS = Advice(
    "too-many-recipients",
    "it names too many recipients in one message: the rest come in a second one if the client knows how to; "
    "else raise recipients in [limits], or send to a group.",
    "relay",
)


def _explain_rate(case: Case) -> Advice:
    return Advice(
        "too-many-messages",
        f"{case.record.user or case.record.client} has sent all the messages that it may in an hour; raise "
        "messages_per_hour if that is too few, and look whether it sends the same one again and again.",
        "relay",
    )


def _explain_waiting(case: Case) -> Advice:
    client = case.record.client
    return Advice(
        "waits-for-adoption",
        f"its mail is held until somebody adopts it: relay learn --adopt {client} (or --refuse {client}).",
        "relay",
    )


def _explain_order(case: Case) -> Advice | None:
    if len(case.record.replies) > 1 or case.record.troubles:
        return None  # DATA after a refused RCPT only follows from that
    return Advice(
        "out-of-order",
        f"it sent {case.command.partition(' ')[0] or 'a command'} at the wrong moment: look for a newer "
        "firmware; relay doctor --json shows the session.",
    )


def _explain_command(case: Case) -> Advice | None:
    if case.command == "PROXY" and DeviceFault.BAD_PROXY_HEADER in case.record.troubles:
        return None
    return Advice(
        "not-smtp",
        f"it sent what is no SMTP command here ({case.command or 'nothing'}): it is of no harm if mail "
        "arrives; else it is probably no mail client.",
        "nobody",
    )


def _explain_syntax(case: Case) -> Advice:
    return Advice(
        "bad-syntax",
        f"the relay does not understand '{case.command}': enter the address on its panel again, without "
        "brackets and names.",
    )


def _explain_parameter(case: Case) -> Advice:
    return Advice(
        "unknown-parameter",
        f"it uses a parameter that the relay does not know ('{case.command}'): switch extended options off "
        "on the device.",
    )


def explain_refusal(case: Case) -> Advice:
    """The message itself was refused: by the API, or because nothing can be made of it."""
    text, queue_id = (case.answer.text, case.answer.queue_id) if case.answer else ("", "")
    more = f"; relay trace {queue_id} says more" if queue_id else ""
    return Advice(
        "message-refused", f"its message was refused: {text.removesuffix(f' (id={queue_id})')}{more}."
    )


BY_REPLY: dict[reply.Reply, Rule] = {
    reply.ONE_SENDER: _explain_several_senders,
    reply.ONE_ADDRESS: _explain_several,
    reply.NO_DOMAIN: _explain_no_domain,
    reply.BAD_FORWARD_PATH: _explain_recipient,
    reply.BAD_REVERSE_PATH: _explain_sender,
    reply.SMTPUTF8_NEEDED: _NEEDS_UTF8,
    reply.RECIPIENT_NOT_ALLOWED: _explain_domain,
    reply.TOO_LARGE: _explain_size,
    reply.FAR_TOO_LARGE: _explain_size,
    reply.TOO_MANY_RECIPIENTS: _TOO_MANY_RECIPIENTS,
    reply.DEVICE_WAITS: _explain_waiting,
    reply.TOO_MANY_MESSAGES: _explain_rate,
    reply.TOO_MANY_ERRORS: None,  # what it did wrong so often has its own row
    reply.BAD_SEQUENCE: _explain_order,
    reply.NO_TRANSACTION: _explain_order,
    reply.NO_RECIPIENTS: _explain_order,
    reply.NESTED_MAIL: _explain_order,
    reply.MIXED_DATA: _explain_order,
    reply.BAD_SYNTAX: _explain_command,
    reply.UNKNOWN_COMMAND: _explain_command,
    reply.NOT_IMPLEMENTED: _explain_command,
    reply.LINE_TOO_LONG: _explain_command,
    reply.BAD_ARGUMENT: _explain_syntax,
    reply.BAD_PATH_SYNTAX: _explain_syntax,
    reply.UNKNOWN_PARAMETER: _explain_parameter,
}
