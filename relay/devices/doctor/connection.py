"""Rules for connecting, and for sessions that end too early."""

from relay import reply
from relay.devices.doctor import tls
from relay.devices.doctor.case import Advice, Case, Rule
from relay.devices.recorder import DeviceFault


def _explain_network(case: Case) -> Advice:
    client = case.record.client
    start = f"{client} is in none of the networks of the listener {case.record.listener}, and was refused"
    if case.is_public:
        return Advice(
            "network",
            f'{start}. It is a public address: give that listener tls and auth = "required" before you add '
            f'"{client}" to its networks.',
            "relay",
        )
    return Advice(
        "network",
        f'{start}: add "{client}", or its whole network "{case.network}", to networks in relay.toml, or let '
        f"the relay get to know it: relay learn {case.network} --for 15m",
        "relay",
    )


def _explain_timeout(case: Case) -> Advice:
    phase = case.record.troubles[DeviceFault.TIMEOUT]
    if DeviceFault.BARE_DOT in case.record.troubles:
        return _BARE_DOT
    if phase == "tls":
        text = (
            "it began TLS and did not finish: it may be waiting for somebody to accept the certificate on "
            "its panel."
        )
    elif phase == "data":
        text = (
            f"it stopped within the message, after {case.record.size} octets, and the relay gave up "
            "waiting: look "
            "for a bad cable, a firewall in between, or a device that went to sleep while it scanned."
        )
    else:
        text = (
            "it said nothing for too long and was sent away; most devices just keep a session open too long."
        )
    return Advice("timeout", text)


_BARE_DOT = Advice(
    "bare-dot",
    "it ends its message with bare line feeds (LF . LF) where SMTP wants CR LF . CR LF, and then waits for "
    "a reply that cannot come: look for a newer firmware, or a setting for line ends; the relay cannot take "
    "it without opening a way to smuggle mail.",
)


def _explain_hang_up(case: Case) -> Advice | None:
    record, phase = case.record, case.record.troubles[DeviceFault.HUNG_UP]
    if DeviceFault.BARE_DOT in record.troubles:
        return _BARE_DOT
    if phase == "data":
        return Advice(
            "hung-up-in-data",
            f"it hung up within the message, after {record.size} octets; nothing was kept, so send it again. "
            "It was switched off, lost its network, or its own limit for a message was reached.",
        )
    if phase == "reply":
        return Advice(
            "impatient",
            "it hung up while the relay waited for the outcome. The message is kept and goes its way; if "
            'the device reports a failure, set wait = "0s" in its [[device]] or its [[listener]], or raise '
            "the time limit on its panel.",
            "relay",
        )
    if phase in ("tls", "greeting"):
        return tls.explain_hang_up(case) if phase == "tls" else tls.explain_early_end(case)
    if record.replies or len(record.troubles) > 1:
        return None  # what was wrong before it left has its own row
    return _explain_early_end(case)


def _explain_early_end(case: Case) -> Advice | None:
    verbs, listener = case.record.verbs, case.listener
    if not verbs:
        text = "it hung up after the banner without a word: a monitor or a port scan does this"
        if not case.record.tls:  # else TLS is not what it missed
            text += f", and so does a device that waits for TLS; then choose {_tls_choice(case)} on its panel"
        return Advice("hung-up-after-banner", f"{text}.")
    if not {"EHLO", "HELO"}.issuperset(verbs) or listener is None:
        return None
    if listener.tls == "starttls" and not case.record.tls and listener.auth != "off":
        return Advice(
            "hung-up-after-greeting",
            "it hung up after the greeting: it wants to log in, which is offered after STARTTLS only. "
            "Choose STARTTLS on its panel, or set auth_without_tls = true for its network.",
        )
    lacking = [
        *([("STARTTLS", '"no encryption"', "tls")] if listener.tls == "none" else []),
        *([("a login (AUTH)", '"no authentication"', "auth")] if listener.auth == "off" else []),
    ]
    if not lacking:
        return None
    wishes, choices, keys = zip(*lacking, strict=True)
    return Advice(
        "hung-up-after-greeting",
        f"it hung up after the greeting: it probably wants {' or '.join(wishes)}, which this listener does "
        f"not offer. Choose {' and '.join(choices)} on its panel, or give the listener {' and '.join(keys)}.",
    )


def _tls_choice(case: Case) -> str:
    implicit = case.ports("implicit")
    if implicit and implicit[0] != case.port:
        return f"port {implicit[0]} for SSL/TLS, or no encryption,"
    return "STARTTLS or no encryption, not SSL" if case.ports("starttls") else "no encryption"


_HTTP = Advice("http", "it speaks HTTP: this is a browser or a port scan, not a mail client.", "nobody")


def _explain_proxy(case: Case) -> Advice:
    reason = case.record.troubles[DeviceFault.BAD_PROXY_HEADER]
    if reason:  # it is trusted to send one
        return Advice(
            "no-proxy-header",
            f"it is in proxy_networks of the listener {case.record.listener} and sent no PROXY header that "
            f"can be read ({reason}): let the balancer send the PROXY protocol, or take it out of "
            "proxy_networks.",
            "relay",
        )
    return Advice(
        "proxy-header",
        f"it sent a PROXY header that was not taken: add {case.record.client} to proxy_networks of the "
        f"listener {case.record.listener} if it is your balancer, or switch PROXY off there.",
        "relay",
    )


def _explain_full(case: Case) -> Advice:
    return Advice(
        "too-many-sessions",
        f"too many sessions were open at once, and {case.record.client} was told to come back: it does by "
        "itself. If this is usual, raise sessions or sessions_per_address in [limits].",
        "relay",
    )


def _explain_our_trouble(case: Case) -> Advice:
    return Advice(
        "relay-trouble",
        f'the relay could not take its mail ("{case.answer}"): the device is not to blame and should try '
        "again; relay check says what is wrong.",
        "relay",
    )


def _explain_no_listener(case: Case) -> Advice:
    ports = ", ".join(dict.fromkeys(x.address.rpartition(":")[2] for x in case.config.listener))
    return Advice(
        "no-listener",
        f"it came to port {case.port}, which systemd holds open and no [[listener]] of relay.toml has: "
        f"choose port {ports} on its panel, or add a [[listener]] for this one.",
        "relay",
    )


_STOPPED = Advice("relay-stopped", "the relay was being stopped; the device should try again.", "nobody")


_RELOADED = Advice(
    "connect-again",
    "the configuration changed what it may do while it was connected, and it was sent away; its next "
    "session goes by the new one.",
    "nobody",
)


_IDLE = Advice("timeout", "it said nothing for too long and was sent away; its next session is not affected.")
BY_TROUBLE: dict[DeviceFault, Rule] = {
    DeviceFault.BAD_PROXY_HEADER: _explain_proxy,
    DeviceFault.BARE_DOT: _BARE_DOT,
    DeviceFault.TIMEOUT: _explain_timeout,
    DeviceFault.HUNG_UP: _explain_hang_up,
}
BY_REPLY: dict[reply.Reply, Rule] = {
    reply.NETWORK_NOT_ALLOWED: _explain_network,
    reply.NOT_HTTP: _HTTP,
    reply.IDLE_TOO_LONG: lambda case: None if DeviceFault.TIMEOUT in case.record.troubles else _IDLE,
    reply.TOO_MANY_SESSIONS: _explain_full,
    reply.SHUTTING_DOWN: _STOPPED,
    reply.NO_LISTENER: _explain_no_listener,
    reply.CONNECT_AGAIN: _RELOADED,
    reply.SPOOL_FULL: _explain_our_trouble,
    reply.SPOOL_UNAVAILABLE: _explain_our_trouble,
    reply.INTERNAL: _explain_our_trouble,
    reply.NO_TLS_NOW: _explain_our_trouble,
    reply.TOO_BUSY: _explain_our_trouble,
    reply.OUT_OF_MEMORY: _explain_our_trouble,
}
