"""Envelope and destination fields → to, cc, bcc of each request.

Mail goes to the envelope's recipients, to all of them and to nobody else; the fields only say in which of
the three places each is shown. A Bcc is never shown.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relay.mail import Address, Conversion
from relay.message.addresses import unquote

# RFC 1035 §2.3.4. A longer one is no label, and Python's codec takes quadratic time: seconds for 30 KB.
_LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True)
class Destinations:
    """The recipients of one request."""

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()  # the envelope's recipients that this request reaches, duplicates included
    separately: bool = False  # each must get a message of its own, so that no Bcc is shown


# ASCII that is neither letter, digit, hyphen nor dot (RFC 5890 §2.3.1).
_NO_DOMAIN = re.compile(r"[\x00-,/:-@\[-`{-\x7f]")


def fold_domain(domain: str) -> str:
    """A domain in one form for comparison: lower case, without the root's dot, internationalised labels in
    ASCII.
    """
    domain = domain.lower().rstrip(".")
    if (
        domain.isascii()
        or _NO_DOMAIN.search(domain)
        or any(len(label) > _LONGEST_LABEL for label in domain.split("."))
    ):
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain


def split_spec(spec: str) -> tuple[str, str]:
    """A mailbox in one form for comparison: the local part, unquoted and without case, and the folded domain.

    No mailbox of Works differs from another by case alone, and hardly any elsewhere does (RFC 5321 §2.4).
    """
    local, at, domain = unquote(spec).rpartition("@")
    if not at:
        return domain.casefold(), ""
    return local.casefold(), fold_domain(domain)


class Recipients:
    """The envelope's recipients, each mailbox once, compared with those that the fields name."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Args:
        paths: as the envelope has them; of a mailbox that stands there twice the first spelling counts.
        """
        self._spellings: dict[tuple[str, str], list[str]] = {}
        for path in paths:
            self._spellings.setdefault(split_spec(path), []).append(path)

    def find_own(self, addresses: Iterable[Address]) -> tuple[Address, ...]:
        """Those of the addresses that are among them, each once and in the envelope's spelling."""
        return tuple(Address("", path) for path in self._claim(addresses, set()))

    def find_others(self, addresses: Iterable[Address]) -> list[Address]:
        """Those that are not, each once; `root` alone is there as `root@` any domain."""
        locals_ = {local for local, _ in self._spellings}
        return [
            one
            for one in dict.fromkeys(addresses)
            if split_spec(one.addr_spec) not in self._spellings and one.addr_spec.casefold() not in locals_
        ]

    def assign(
        self, to: Iterable[Address], cc: Iterable[Address], conversion: Conversion
    ) -> list[Destinations]:
        """Who stands where, in as many requests as the API needs."""
        claimed: set[tuple[str, str]] = set()
        shown_to = self._claim(to, claimed)
        shown_cc = self._claim(cc, claimed)
        hidden = [paths[0] for key, paths in self._spellings.items() if key not in claimed]
        if not shown_to:
            shown_to, shown_cc = shown_cc, []
        most = conversion.recipients_per_mail or max(1, len(self._spellings) + 1)
        if shown_to:
            requests = _split(shown_to, shown_cc, hidden, most)
        elif len(hidden) > 1 and conversion.bcc_only_to_account and conversion.account_address:
            requests = _split_hidden(hidden, most, conversion.account_address)
        else:
            requests = [Destinations(tuple(some), separately=len(some) > 1) for some in _chunks(hidden, most)]
        return [self._serve(one) for one in requests] or [Destinations(())]

    def _claim(self, addresses: Iterable[Address], claimed: set[tuple[str, str]]) -> list[str]:
        """The envelope's spelling of those addresses that are in it and that no earlier field claimed."""
        found: list[str] = []
        for address in addresses:
            key = split_spec(address.addr_spec)
            if key in self._spellings and key not in claimed:
                claimed.add(key)
                found.append(self._spellings[key][0])
        return found

    def _serve(self, one: Destinations) -> Destinations:
        """The request with the envelope's recipients that it reaches."""
        served = (
            path
            for spec in (*one.to, *one.cc, *one.bcc)
            for path in self._spellings.get(split_spec(spec), ())
        )
        return Destinations(one.to, one.cc, one.bcc, tuple(served), one.separately)


def _chunks(paths: list[str], most: int) -> list[list[str]]:
    return [paths[at : at + most] for at in range(0, len(paths), most)]


def _split(to: list[str], cc: list[str], bcc: list[str], most: int) -> list[Destinations]:
    """Requests of at most `most` recipients; each needs somebody in `to`.

    Those shown come first, To before Cc. When only Cc are left they stand in `to` (nobody is shown who was
    hidden); when only Bcc are left they go as a Bcc-only message does.
    """
    tagged = [*((path, 0) for path in to), *((path, 1) for path in cc), *((path, 2) for path in bcc)]
    requests = []
    for at in range(0, len(tagged), most):
        places: tuple[list[str], list[str], list[str]] = ([], [], [])
        for path, place in tagged[at : at + most]:
            places[place].append(path)
        shown_to, shown_cc, hidden = places
        if not shown_to and shown_cc:
            shown_to, shown_cc = shown_cc, []
        separately = not shown_to and len(hidden) > 1
        if not shown_to:
            shown_to, hidden = hidden, []
        requests.append(Destinations(tuple(shown_to), tuple(shown_cc), tuple(hidden), separately=separately))
    return requests


def _split_hidden(hidden: list[str], most: int, account: str) -> list[Destinations]:
    """Bcc-only, with the account's own address in `to`; it gets a copy of each request."""
    return [Destinations((account,), bcc=tuple(some)) for some in _chunks(hidden, max(1, most - 1))]
