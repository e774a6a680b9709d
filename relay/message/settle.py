"""Each loss dealt with as the configuration says: noted in the body, dropped, refused, or the original
attached.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.envelope import Buffer
from relay.mail import (
    KINDS,
    Address,
    Attachment,
    Conversion,
    Loss,
    Mail,
    Policy,
    make_loss,
    policy_of,
    refuse_loss,
)
from relay.message.fields import find_start, read_fields
from relay.message.header import HIDDEN, Header, find_visible, format_field
from relay.message.names import LONGEST_SUBJECT, count_units, cut_units, keep_apart, make_one_line
from relay.message.notes import (
    find_language,
    format_address,
    put_first,
    say_enclosed,
    say_redirected,
    say_reply_to,
)
from relay.message.parse import Understood
from relay.message.recipients import Recipients, split_spec

# RFC 6761, RFC 6762, RFC 8375, and what routers and offices call their networks.
_NOT_PUBLIC = (
    ".local",
    ".localhost",
    ".localdomain",
    ".invalid",
    ".internal",
    ".home.arpa",
    ".lan",
    ".corp",
    ".home",
)
_NO_REPLY = {"noresponse", "mailerdaemon"}
_SAYS_NO = re.compile(
    r"(?:\A|[^a-z0-9])(?:no|do[-_.]?not|dont)[-_.]?repl(?:y|ies)"
)  # noreply+tag@, auto-no-reply@
_MOST_NAMES = 50  # of mailboxes that one line has


@dataclass(slots=True)
class _Found:
    """A loss, and the lines that would keep what is lost."""

    name: str
    detail: str
    lines: tuple[str, ...] = ()


def settle_losses(
    understood: Understood, content: Buffer, conversion: Conversion, forward_paths: Sequence[str]
) -> Mail:
    """The mail with its losses, after the policies.

    Args:
        understood: the message.
        content: its octets, for the policy `attach`.
        conversion: the policies, and whose account it is.
        forward_paths: the recipients.

    Raises:
        Unconvertible: a loss that was found is to be refused.
    """
    mail = _fit_subject(understood.mail, conversion)
    found = list(_find(understood, mail, conversion, forward_paths))
    policies = {one.name: policy_of(one.name, conversion.losses) for one in found}
    for one in found:
        if policies[one.name] is Policy.REJECT:
            raise refuse_loss(one.name, one.detail)
    noted = [one for one in found if policies[one.name] is Policy.KEEP and one.lines]
    body, added = put_first(mail.body, mail.content_type, ["\n".join(one.lines) for one in noted])
    texts = {id(one): text for one, text in zip(noted, added, strict=True)}
    attachments = mail.attachments
    if Policy.ATTACH in policies.values():
        attachments = _add_original(attachments, content)
    losses = tuple(make_loss(one.name, one.detail, texts.get(id(one), "")) for one in found)
    return replace(mail, body=body, losses=losses, attachments=attachments)


def _add_original(attachments: tuple[Attachment, ...], content: Buffer) -> tuple[Attachment, ...]:
    """The attachments with the whole message, once; a forwarded message may have its name."""
    original = attach_original(content)
    if not original.size or original.source in [one.source for one in attachments]:
        return attachments
    *_, name = keep_apart([one.filename for one in (*attachments, original)])
    return (*attachments, replace(original, filename=name))


def attach_original(content: Buffer) -> Attachment:
    """The whole message as a file, but for its own fields that no recipient is shown.

    Raises:
        Unconvertible: a limit on the octets of its fields is passed (5.6.0).
    """
    fields, _ = read_fields(content, find_start(content), len(content))
    leaves = find_visible(fields, len(content), start=0)
    size = len(content) - sum(field.end - field.start for field in fields if field.name in HIDDEN)
    return Attachment("message.eml", "message/rfc822", leaves, size)


def _fit_subject(mail: Mail, conversion: Conversion) -> Mail:
    if not mail.subject:
        return replace(mail, subject=conversion.no_subject)
    length = count_units(mail.subject)
    if length <= LONGEST_SUBJECT:
        return mail
    loss = make_loss("subject-cut", f"{length} characters, Works takes {LONGEST_SUBJECT}")
    return replace(mail, subject=cut_units(mail.subject, LONGEST_SUBJECT), losses=(*mail.losses, loss))


def _find(
    understood: Understood, mail: Mail, conversion: Conversion, forward_paths: Sequence[str]
) -> list[_Found]:
    """All losses, those first that put something before the body."""
    header = understood.header
    found = [*_find_redirection(mail, understood, conversion), *_find_senders(understood, mail, conversion)]
    found += [_Found(loss.loss, loss.detail, _keep(loss, mail, understood)) for loss in mail.losses]
    for name, detail, fields in header.lost:
        lines = tuple(map(format_field, fields)) if policy_of(name, conversion.losses) is Policy.KEEP else ()
        found.append(_Found(name, detail, lines))
    if header.options and not conversion.options_by_field:
        names = dict.fromkeys(name.title() for name, _ in header.options)
        found.append(_Found("options", ", ".join(names)))
    found += _find_others(header, Recipients((*forward_paths, *conversion.envelope)))
    recipients = Recipients(forward_paths)
    if header.cc and not recipients.find_own(header.to) and (moved := recipients.find_own(header.cc)):
        found.append(_Found("cc-moved", _list(moved)))
    shown = [one for one in (*header.to, *header.cc) if one.display_name]
    if shown:
        found.append(_Found("recipient-names", "Works takes bare addresses", (_list_names(shown),)))
    if conversion.delivery_options:
        found.append(_Found("delivery-options", "asked for in the envelope"))
    if not forward_paths:
        found.append(_Found("no-recipient", "neither the envelope nor the fields name anybody"))
    return found


def _find_redirection(mail: Mail, understood: Understood, conversion: Conversion) -> list[_Found]:
    """Who would have got it, hidden recipients too: whoever gets it in their place wants to know."""
    if not conversion.redirected:
        return []
    addresses = [Address("", path) for path in conversion.envelope]
    line = say_redirected(_list_names(addresses), find_language(mail, understood.codecs))
    return [_Found("redirected", _list(addresses), (line,))]


def _find_others(header: Header, recipients: Recipients) -> list[_Found]:
    """Who stands in To and Cc and is not sent to: the fields say who else has the mail."""
    to, cc = recipients.find_others(header.to), recipients.find_others(header.cc)
    lines = tuple(f"{name}: {_list_names(some)}" for name, some in (("To", to), ("Cc", cc)) if some)
    return [_Found("other-recipients", _list([*to, *cc]), lines)] if lines else []


def _list_names(addresses: Sequence[Address]) -> str:
    return ", ".join(map(format_address, addresses[:_MOST_NAMES]))


def _keep(loss: Loss, mail: Mail, understood: Understood) -> tuple[str, ...]:
    if loss.loss in {"encryption", "signature"} and understood.is_sealed and not mail.body.strip():
        names = [one.filename for one in mail.attachments if one.media_type != "application/pgp-encrypted"]
        return (say_enclosed(names, find_language(mail, understood.codecs)),) if names else ()
    if loss.loss == "subject-cut":
        return (understood.header.subject,)
    return (f"{KINDS[loss.loss].meaning}: {loss.detail}",) if loss.loss == "empty-attachment" else ()


def _find_senders(understood: Understood, mail: Mail, conversion: Conversion) -> list[_Found]:
    """Reply-To and From, where a reply to the account's mailbox would go to somebody else than they ask
    for. Where From has no address, the reverse-path stands for it: it is whom the mail comes from.
    """
    header = understood.header
    found = []
    own = _specs([Address("", conversion.account_address)]) if conversion.account_address else set()
    originators, reply_to = _addressed(header.originators), _addressed(header.reply_to)
    is_envelopes = not originators and bool(conversion.reverse_path)
    if is_envelopes:
        name = header.originators[0].display_name if header.originators else ""
        originators = [Address(name, conversion.reverse_path)]
    senders, targets = _specs(originators), _specs(reply_to)
    is_kept = bool(targets) and targets not in (senders, own)
    if is_kept or len(reply_to) < len(header.reply_to):
        line = _say(reply_to, mail, understood) if is_kept else ()
        found.append(_Found("reply-to", _list(header.reply_to), line))
    is_named = bool(header.originators) or is_envelopes
    if own and is_named and (senders != own or len(originators) < len(header.originators)):
        # Without a Reply-To, replies were to go to From.
        is_wanted = senders not in (set(), own) and not is_kept and targets != own
        line = _say(originators, mail, understood) if is_wanted else ()
        detail = _list(originators if is_envelopes else header.originators)
        found.append(_Found("originator", detail + " (of the envelope)" * is_envelopes, line))
    return found


def _addressed(addresses: Sequence[Address]) -> list[Address]:
    """Those to whom a reply can go: words alone are only the name of somebody."""
    return [one for one in addresses if "@" in one.addr_spec.rstrip("@")]


def _say(addresses: Sequence[Address], mail: Mail, understood: Understood) -> tuple[str, ...]:
    """The line that stands for a Reply-To; none where nobody could be replied to."""
    different = {split_spec(one.addr_spec): one for one in reversed(addresses)}  # the first of each
    able = [one for one in reversed(different.values()) if _can_be_answered(one.addr_spec)]
    return (say_reply_to(able, find_language(mail, understood.codecs)),) if able else ()


def _can_be_answered(spec: str) -> bool:
    """Whether a reply may arrive: the domain is a public one, and the mailbox does not say no."""
    local, domain = split_spec(spec)
    is_number = domain.startswith("[") or domain.rpartition(".")[2].isdigit()
    is_public = "." in domain and not is_number and not domain.endswith(_NOT_PUBLIC)
    says_no = _SAYS_NO.search(local) or "".join(filter(str.isalnum, local)) in _NO_REPLY
    return is_public and not says_no


def _specs(addresses: Sequence[Address]) -> set[tuple[str, str]]:
    return {split_spec(one.addr_spec) for one in addresses}


def _list(addresses: Sequence[Address]) -> str:
    named = (one.addr_spec or one.display_name for one in addresses[:_MOST_NAMES])
    return ", ".join(map(make_one_line, named))[:200]
