"""Rules for logging in, and for whom one may send as."""

import difflib
import re

from relay import reply
from relay.config.model import Config
from relay.devices.doctor.case import Advice, Case, Rule
from relay.devices.recorder import DeviceFault

NOT_SHOWN = "(not shown)"
_LONGER = 2  # characters of a slip of the finger
_DOMAIN = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,3}")
_LIKE_ENOUGH = 0.5  # "scan" and "scanner" have 0.73


def _explain_login(case: Case) -> Advice:
    name = case.record.troubles.get(DeviceFault.LOGIN_FAILED, "")
    names = [user.name for user in case.config.user]
    if not names:
        return Advice(
            "no-users",
            f"it logs in as {_quote(name)}, but no [[user]] is configured: add one (relay passwd hashes the "
            'password), or choose "no authentication" on its panel.',
            "relay",
        )
    if name in names:
        return Advice(
            "wrong-password",
            f"it logs in as '{name}' with a wrong password: enter it again on its panel (some cut it after "
            "16 or 32 characters, or spoil special ones), or set a new one: relay passwd",
        )
    return Advice("unknown-user", _unknown(case, name, names))


def _quote(name: str) -> str:
    """A name that was kept, or words for one that may be a password."""
    return "a name (not shown: it may be a password)" if name == NOT_SHOWN else f"'{name}'"


def name_to_show(config: Config, name: str) -> str:
    """The name of a refused login as log and doctor may show it.

    A password is what was typed into the wrong field, what stands behind the name in it, or PLAIN's message
    where LOGIN asks for a name. So a name is shown that is ours, or is like one of ours and hardly longer,
    also with a domain behind it.
    """
    if not name.isprintable():
        return NOT_SHOWN
    users = [user.name for user in config.user]
    accounts = [
        text for account in config.account for text in (account.address.lower(), account.name.lower())
    ]
    if name in users or name.lower() in accounts:
        return name
    local, at, domain = name.partition("@")
    like = nearest(local, users)
    is_like = like is not None and len(local) <= len(like) + _LONGER and (not at or _DOMAIN.fullmatch(domain))
    return name if is_like else NOT_SHOWN


def _unknown(case: Case, name: str, names: list[str]) -> str:
    text = f"it logs in as {_quote(name)}, which is no user here"
    close = nearest(name, names)
    if any(name.lower() in (a.address.lower(), a.name.lower()) for a in case.config.account):
        other = f"enter '{close}' and its password" if close else "enter one that is there"
        return (
            f"{text} but a Works mailbox: the relay has its own users and needs nobody's Works password: "
            f"{other}, or add a [[user]] of that name."
        )
    if close:
        return f"{text}; did you mean '{close}'?"
    return f"{text}: enter one of the names in [[user]] on its panel, or add a [[user]] with this name."


def nearest(name: str, names: list[str]) -> str | None:
    """The user name that was probably meant."""
    by_folded = {n.casefold(): n for n in names}
    for wanted in (name.casefold(), name.partition("@")[0].casefold()):
        found = difflib.get_close_matches(wanted, by_folded, n=1, cutoff=_LIKE_ENOUGH)
        if wanted and found:
            return by_folded[found[0]]
    return None


# Why it failed has its own row.
_LOCKED = Advice("login-locked", "it failed to log in too often and has to wait, an hour at most.")


def _explain_needs_tls(case: Case) -> Advice:
    listener = case.listener
    if listener is not None and listener.tls == "none":
        return Advice(
            "login-before-tls",
            f"it wants to log in without TLS, and the listener {case.record.listener} has none: set "
            "auth_without_tls = true for its network, or give the listener tls.",
            "relay",
        )
    return Advice(
        "login-before-tls",
        "it logs in before STARTTLS, where its password could be read on the way: choose STARTTLS on its "
        "panel, or set auth_without_tls = true on a listener for its network alone.",
    )


def _explain_no_login(case: Case) -> Advice:
    return Advice(
        "login-not-offered",
        f"it wants to log in, and the listener {case.record.listener} does not offer it: choose "
        '"no authentication" on its panel, or set auth = "optional" and add a [[user]].',
    )


def _explain_login_needed(case: Case) -> Advice:
    if DeviceFault.LOGIN_FAILED in case.record.troubles:
        return _explain_login(case)
    hidden = case.listener is not None and case.listener.tls == "starttls" and not case.record.tls
    if hidden:
        return Advice(
            "login-needed",
            "it sends without a login and without TLS; a login is asked for, and offered after STARTTLS: "
            "choose STARTTLS and enter user name and password on its panel.",
        )
    return Advice(
        "login-needed",
        "it sends without a login, and one is asked for: enter user name and password for SMTP on its panel "
        "(a POP login before SMTP is another thing).",
    )


def _explain_mechanism(case: Case) -> Advice:
    mechanism = case.command.removeprefix("AUTH").strip(" …")
    return Advice(
        "login-mechanism",
        f"it wants to log in by {mechanism or 'a mechanism of its own'}; the relay takes PLAIN and LOGIN: "
        'choose one of them, or "automatic", on its panel.',
    )


_GARBLED_LOGIN = Advice(
    "login-garbled",
    "its login could not be read (not Base64, or broken off): enter user name and password again, without "
    "special characters, and look for a newer firmware.",
)


_OTHER_IDENTITY = Advice(
    "login-for-another",
    "it logs in as one user to act for another: enter the same name for both, or leave the authorization "
    "identity (authzid) empty.",
)


_LOGIN_UNAVAILABLE = Advice(
    "relay-trouble",
    "its login could not be checked for a fault of the relay's; the log says more.",
    "relay",
)


def _name_owner(case: Case) -> str:
    """Whose may_send_as may have refused it."""
    levels = f"its [[device]] or the listener {case.record.listener}"
    return f"the user '{case.record.user}' (or of {levels})" if case.record.user else levels


def _explain_sender(case: Case) -> Advice:
    if not case.path:
        return Advice(
            "wrong-sender",
            f"it sends with an empty sender address, and may_send_as of {_name_owner(case)} names nobody: "
            "add the addresses that it may send as.",
        )
    return Advice(
        "wrong-sender",
        f"it sends as {case.path}; add it to may_send_as of {_name_owner(case)}, or enter another sender "
        "address on its panel.",
    )


def _explain_originator(case: Case) -> Advice:
    return Advice(
        "wrong-from",
        "the From (or Sender) field of its message is an address that it may not send as: enter another "
        f"sender address on its panel, or add this one to may_send_as of {_name_owner(case)}.",
    )


def _explain_account(case: Case) -> Advice:
    sender = f" for {case.path}" if "@" in case.path else ""
    return Advice(
        "no-account",
        f"no Works account sends{sender}: set default = true for one [[account]], or give this client a "
        "[[user]] with an account.",
        "relay",
    )


BY_TROUBLE: dict[DeviceFault, Rule] = {DeviceFault.LOGIN_FAILED: _explain_login}
BY_REPLY: dict[reply.Reply, Rule] = {
    reply.LOGIN_REFUSED: _explain_login,
    reply.LOGIN_LOCKED: _LOCKED,
    reply.TOO_MANY_LOGINS: _explain_login,
    reply.LOGIN_UNAVAILABLE: _LOGIN_UNAVAILABLE,
    reply.AUTH_NEEDS_TLS: _explain_needs_tls,
    reply.AUTH_NEEDS_OTHER_PORT: _explain_needs_tls,
    reply.NO_AUTH: _explain_no_login,
    reply.LOGIN_REQUIRED: _explain_login_needed,
    reply.UNKNOWN_MECHANISM: _explain_mechanism,
    reply.AUTH_BAD_BASE64: _GARBLED_LOGIN,
    reply.AUTH_ABORTED: _GARBLED_LOGIN,
    reply.AUTH_OTHER_IDENTITY: _OTHER_IDENTITY,
    reply.ALREADY_LOGGED_IN: None,  # a second login is refused and the first one stays: nothing has to change
    reply.SENDER_NOT_ALLOWED: _explain_sender,
    reply.ORIGINATOR_NOT_ALLOWED: _explain_originator,
    reply.NO_ACCOUNT: _explain_account,
}
