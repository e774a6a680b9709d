"""What the API cannot carry: a closed list of names, each with its RFC 3463 status, weight and policies.

`[losses]` in relay.toml sets a policy for a name (with `_` for `-`); the defaults stand here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from relay.mail import Loss, Policy, Unconvertible, Weight

_NOTED = frozenset({Policy.KEEP, Policy.DROP, Policy.REJECT, Policy.ATTACH})
_UNNOTED = frozenset({Policy.DROP, Policy.REJECT, Policy.ATTACH})
_FIXED = frozenset({Policy.DROP})


@dataclass(frozen=True, slots=True)
class Kind:
    """One name of the list."""

    meaning: str
    status: str = "5.6.4"  # RFC 3463 status of the refusal under `reject`
    weight: Weight = Weight.NOTABLE
    default: Policy = Policy.DROP
    policies: frozenset[Policy] = _UNNOTED


USUAL, KEEP = Weight.USUAL, Policy.KEEP

KINDS: Mapping[str, Kind] = {
    "originator": Kind("From is not the account's address", default=KEEP, policies=_NOTED),
    "reply-to": Kind("Reply-To names somebody else", default=KEEP, policies=_NOTED),
    "unreadable": Kind(
        "not understood: the message goes along as message.eml", status="5.6.0", policies=_UNNOTED
    ),
    "no-recipient": Kind("no address at all", status="5.1.3", policies=_FIXED),
    "recipient-address": Kind("an address that the API cannot be given", status="5.1.3", policies=_UNNOTED),
    "resent-fields": Kind("Resent fields", policies=_NOTED),
    "delivery-options": Kind("NOTIFY, RET, ENVID or ORCPT of the envelope", policies=_UNNOTED),
    "text-alternative": Kind("the other renderings of the body", weight=USUAL, policies=_UNNOTED),
    "other-fields": Kind("other header fields", weight=USUAL, policies=_UNNOTED),
    "other-recipients": Kind(
        "addresses of To and Cc that are not in the envelope", weight=USUAL, policies=_NOTED
    ),
    "recipient-names": Kind("display names of recipients", weight=USUAL, policies=_NOTED),
    "subject-cut": Kind("the subject is longer than 180 characters", policies=_NOTED),
    "date": Kind("Date", weight=USUAL, policies=_NOTED),
    "message-id": Kind("Message-ID", weight=USUAL, policies=_NOTED),
    "threading": Kind("In-Reply-To and References", weight=USUAL, policies=_UNNOTED),
    "signature": Kind("a signature that no longer covers what it signed", policies=_UNNOTED),
    "encryption": Kind("encrypted content, carried as files", policies=_UNNOTED),
    "empty-attachment": Kind("a file without any octets", policies=_NOTED),
    "attachment-name": Kind("a file name that had to be changed", weight=USUAL, policies=_UNNOTED),
    "charset-guessed": Kind("the charset was not declared, or wrongly", policies=_UNNOTED),
    "damaged": Kind("MIME that was cut off or broken; what is readable is carried", policies=_UNNOTED),
    "external-body": Kind("a part that lies elsewhere", policies=_UNNOTED),
    "partial": Kind("a fragment of a larger message", policies=_UNNOTED),
    "resource-fork": Kind("the Macintosh half of a file", weight=USUAL, policies=_UNNOTED),
    "list-fields": Kind("fields of a mailing list", policies=_UNNOTED),
    "priority": Kind("importance, priority or sensitivity", policies=_NOTED),
    "receipt-request": Kind("a request for a receipt", policies=_NOTED),
}


def policy_of(name: str, policies: Mapping[str, Policy]) -> Policy:
    """What is to be done about a loss; a name may be given with `-` or `_`."""
    chosen = policies.get(name.replace("-", "_"), policies.get(name))
    return KINDS[name].default if chosen is None else Policy(chosen)


def make_loss(name: str, detail: str, added: str = "") -> Loss:
    """A loss of the list."""
    return Loss(name, detail, KINDS[name].weight, added)


def refuse_loss(name: str, detail: str) -> Unconvertible:
    """The refusal of a message whose loss is not wanted."""
    return Unconvertible(
        KINDS[name].status, f"{KINDS[name].meaning} ({detail}); the configuration refuses such mail"
    )


def find_problems(policies: Mapping[str, Policy]) -> list[str]:
    """What is wrong with a `[losses]` table: a sentence for each name or policy that is not in the list."""
    problems = []
    for key, policy in policies.items():
        kind = KINDS.get(key.replace("_", "-"))
        if kind is None:
            known = ", ".join(name.replace("-", "_") for name in KINDS)
            problems.append(f"losses.{key}: there is no such loss; known are {known}")
        elif policy not in kind.policies:
            allowed = ", ".join(sorted(kind.policies))
            problems.append(f"losses.{key}: {policy} is not possible; expected one of {allowed}")
    return problems
