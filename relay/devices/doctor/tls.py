"""Rules for TLS: spoken at the wrong port, too old, not trusted, broken off."""

from relay import reply
from relay.devices.doctor.case import Advice, Case, Rule, apply_rule
from relay.devices.recorder import DeviceFault

_OLD_TLS = ("SSL 3.0", "TLS 1.0", "TLS 1.1")


def _explain_tls_on_plain_port(case: Case) -> Advice:
    start = f"it sent a TLS handshake to the plain port {case.port}"
    listener = case.listener
    implicit, starttls = case.ports("implicit"), case.ports("starttls")
    ways = []
    if listener is not None and listener.tls == "starttls":
        ways.append("choose STARTTLS on its panel (not SSL)")
    elif starttls:
        ways.append(f"choose STARTTLS and port {starttls[0]} on its panel")
    if implicit:
        ways.append(f"choose port {implicit[0]}" if ways else f"choose port {implicit[0]} on its panel")
    if not ways:
        ways = [
            "switch SSL/TLS off on its panel",
            'give it a listener with tls = "implicit" (relay certificate makes a certificate)',
        ]
    return Advice("tls-on-plain-port", f"{start}: {', or '.join(ways)}.")


def _explain_plain_on_tls_port(case: Case) -> Advice:
    plain = case.ports("starttls") + case.ports("none")
    other = f", or port {plain[0]}" if plain else ""
    return Advice(
        "plain-on-tls-port",
        f"it speaks plain text on port {case.port}, which is TLS from the first octet: choose SSL/TLS on its "
        f"panel (some call it SMTPS; STARTTLS is another thing){other}.",
    )


def _explain_tls(case: Case) -> Advice | None:
    reason = case.record.troubles[DeviceFault.TLS_FAILED].upper().replace(" ", "_")
    if case.record.offered in _OLD_TLS:
        return _explain_old_tls(case)
    rule = next((rule for reasons, rule in _BY_REASON if reason in reasons), _explain_broken_off)
    return apply_rule(rule, case)


def _explain_broken_off(case: Case) -> Advice:
    reason = case.record.troubles[DeviceFault.TLS_FAILED].lower().replace("_", " ")
    return Advice(
        "tls-broken-off",
        f"TLS was broken off before it was agreed ({reason or 'no reason given'}): most devices do this "
        f"when they do not trust the certificate; put {_name_file(case)} among those that the device trusts.",
    )


def _explain_old_tls(case: Case) -> Advice:
    offered = case.record.offered
    what = (
        f"this device offers only {offered}" if offered else "this device offers only TLS versions before 1.2"
    )
    if offered == "SSL 3.0" or (case.listener is not None and case.listener.tls_profile == "legacy"):
        return Advice(
            "tls-too-old",
            f'{what}, which no listener can speak: give it a listener with tls = "none" for its own '
            "network alone.",
            "relay",
        )
    plain = case.ports("none")
    off = f" and choose port {plain[0]}" if plain else ""
    return Advice(
        "tls-too-old",
        f'{what}: give it a listener of its own with tls_profile = "legacy", or switch SSL/TLS off on its '
        f"panel{off}.",
        "relay",
    )


def _explain_cipher(case: Case) -> Advice:
    if case.listener is not None and case.listener.tls_profile == "legacy":
        return Advice(
            "no-shared-cipher",
            "it offers only ciphers that are not in this machine's OpenSSL any more (3DES, RC4): give it a "
            'listener with tls = "none" for its own network alone.',
            "relay",
        )
    return Advice(
        "no-shared-cipher",
        'it offers none of the ciphers of the modern profile; give its listener tls_profile = "legacy".',
        "relay",
    )


def _explain_trust(case: Case) -> Advice:
    return Advice(
        "certificate-not-trusted",
        f"it does not trust the relay's certificate and broke TLS off: put {_name_file(case)} among those "
        "that the device trusts, or switch certificate checks off on its panel.",
    )


def _name_file(case: Case) -> str:
    """The certificate that a device has to be given, for whoever has to find it."""
    file = case.listener.certificate_file if case.listener else ""
    return f"the certificate {file} (or its issuer's)" if file else "the certificate (or its issuer's)"


def _explain_expiry(case: Case) -> Advice:
    file = case.listener.certificate_file if case.listener else "certificate_file"
    return Advice(
        "certificate-expired",
        "it says that the relay's certificate has expired: set the device's clock, and look at the date of "
        f"{file} (relay status shows it; relay certificate --force makes a new self-signed one).",
        "relay",
    )


_WRONG_NAME = Advice(
    "certificate-name",
    "it calls the relay by a name that is not in the certificate: enter the certificate's name as the "
    "server on its panel, or make one for this name: relay certificate NAME",
    "relay",
)


_NO_CLIENT_CERTIFICATE = Advice(
    "client-certificate",
    "it showed no certificate that client_ca_file of this listener covers: install one on the device, "
    "or have it log in by name and password.",
)


def explain_early_end(case: Case) -> Advice:
    """It left a port that is TLS from the first octet without having sent any."""
    others = [f"port {port} for STARTTLS" for port in case.ports("starttls")[:1]]
    others += [f"port {port} without encryption" for port in case.ports("none")[:1]]
    other = f", or {' or '.join(others)}" if others else ""
    return Advice(
        "left-tls-port",
        f"it came to port {case.port}, which is TLS from the first octet, and left without a word: it "
        "probably waited for a greeting in plain text. Choose SSL/TLS on its panel (some call it SMTPS)"
        f"{other}.",
    )


def explain_hang_up(case: Case) -> Advice:
    """It was gone before TLS was agreed."""
    return Advice(
        "certificate-not-trusted",
        "it hung up in the middle of the TLS handshake: most devices do this when they do not trust the "
        f"certificate; put {_name_file(case)} among those that the device trusts.",
    )


def _explain_no_tls(case: Case) -> Advice:
    return Advice(
        "no-starttls",
        f"it wants STARTTLS, which the listener {case.record.listener} does not offer: switch encryption "
        'off on its panel, or set tls = "starttls" (relay certificate makes a certificate).',
    )


def _explain_tls_needed(case: Case) -> Advice:
    login = case.listener is not None and case.listener.auth == "required"
    more = ", and enter user name and password for SMTP" if login else ""
    return Advice(
        "tls-needed", f"it spoke without TLS where TLS is asked for: choose STARTTLS on its panel{more}."
    )


# The reason of an SSLError, as OpenSSL names it; each set has one remedy.
_BY_REASON: list[tuple[set[str], Rule]] = [
    (
        {
            "UNSUPPORTED_PROTOCOL",
            "VERSION_TOO_LOW",
            "TLSV1_ALERT_PROTOCOL_VERSION",
            "WRONG_SSL_VERSION",
            "NO_SUITABLE_SIGNATURE_ALGORITHM",
            "UNKNOWN_PROTOCOL",
            "INAPPROPRIATE_FALLBACK",
        },
        _explain_old_tls,
    ),
    (
        {
            "NO_SHARED_CIPHER",
            "SSLV3_ALERT_HANDSHAKE_FAILURE",
            "TLSV1_ALERT_INSUFFICIENT_SECURITY",
            "DH_KEY_TOO_SMALL",
            "NO_SUITABLE_KEY_SHARE",
            "UNSUPPORTED_ELLIPTIC_CURVE",
        },
        _explain_cipher,
    ),
    (
        {
            "TLSV1_ALERT_UNKNOWN_CA",
            "SSLV3_ALERT_BAD_CERTIFICATE",
            "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
            "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
            "TLSV1_ALERT_ACCESS_DENIED",
            "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE",
        },
        _explain_trust,
    ),
    ({"SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_REVOKED"}, _explain_expiry),
    ({"TLSV1_UNRECOGNIZED_NAME", "TLSV1_ALERT_UNRECOGNIZED_NAME"}, _WRONG_NAME),
    (
        {"PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED"},
        _NO_CLIENT_CERTIFICATE,
    ),
    ({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER"}, _explain_plain_on_tls_port),
]
BY_TROUBLE: dict[DeviceFault, Rule] = {
    DeviceFault.TLS_ON_PLAIN_PORT: _explain_tls_on_plain_port,
    DeviceFault.PLAIN_ON_TLS_PORT: _explain_plain_on_tls_port,
    DeviceFault.TLS_FAILED: _explain_tls,
}
BY_REPLY: dict[reply.Reply, Rule] = {
    reply.SPEAK_TLS: _explain_plain_on_tls_port,
    reply.NO_TLS: _explain_no_tls,
    reply.TLS_ACTIVE: None,  # a second STARTTLS is refused and the first one stays: nothing has to change
    reply.TLS_REQUIRED: _explain_tls_needed,
}
