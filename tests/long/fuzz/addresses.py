"""Try to get an address past its check: what was checked must be exactly what the API's `to` names.

Run: .venv/bin/python -m tests.long.fuzz.addresses --count 1000000 [--seed N]

For each RCPT argument made of hostile pieces: either it is refused with a 5yz reply, or the path that
was checked is printable, in an allowed domain, and alone: the API's `to`, split on semicolons as the
API splits it, by whatever semicolon or comma Unicode knows, names that path and nothing else.
"""

import argparse
import functools
import random
import sys
import time
import unicodedata

from relay import reply
from relay.config.model import Listener
from relay.mail import Conversion
from relay.message.recipients import Recipients
from relay.reply import Rejected
from relay.smtp.address import check_forward_path, split_path
from relay.smtp.parameters import read_rcpt_parameters
from relay.smtp.policy import check_recipient

ALLOWED = "allowed.test"
LISTENER = Listener(recipient_domains=[ALLOWED, "*.allowed.test", "!no.allowed.test"])
PIECES = [
    "evil@attacker.test", "a", "b", "taro", "allowed.test", "@allowed.test", "@ALLOWED.test",
    "@x.allowed.test",
    "@attacker.test", "@no.allowed.test", "@NO.Allowed.Test", "attacker.test", "@", "@", ";", ",", " ", "\t",
    "\r", "\n", "\0", "\x7f", "\x1b", "<", ">", "<", ">", '"', "\\", "(", ")", ":", "[", "]", "[127.0.0.1]",
    ".", "..", "-", "=?utf-8?q?evil=40attacker.test=3b?=", "=?utf-8?b?ZXZpbEBhdHRhY2tlci50ZXN0Ow==?=",
    "=?", "?=", "=40", "=3b", "%40", "%", "!", "+", "\u037e", "\uff1b", "\ufe54", "\uff0c", "\ufe50",
    "\uff20", "\ufe6b", "\uff0e", "\u3002", "\uff61", "\u2024", "\uff1c", "\uff1e", "\u2028",
    "\u200b", "\u202e", "\u00ad", "\ufeff", "\u00df", "\u0130", "\u212a", "\u017f", "ａllowed.test", "例え",
    "xn--", "xn--r8jz45g", "\udcff", "\udc80", "\U000e0001", "\u0301", "NOTIFY=NEVER", "ORCPT=rfc822;x@y",
    "postmaster", "x" * 64, "y" * 190, "&#59;", "\\u003b", "\u2000", "\u00a0", "\u3000", "\ufe63", "\u0660",
]  # fmt: skip


@functools.cache
def find_separators():
    """The characters that become one which the API splits at."""
    return {c for c in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", c) in {";", ","}}


def make(chance):
    """An argument of RCPT, without TO:."""
    middle = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 6)))
    form = chance.random()
    if form < 0.5:
        return f"<{middle}>"
    if form < 0.7:
        return f"<{middle}@{ALLOWED}>"
    if form < 0.8:
        return f"<a@{ALLOWED}{middle}>"
    return middle


def check(argument):
    """Whether it was accepted; raises AssertionError where it should not have been."""
    try:
        path, words = split_path(argument, reply.ONE_ADDRESS)
        read_rcpt_parameters(words)
        path = check_forward_path(path)
        check_recipient(LISTENER, None, path)
    except Rejected as rejected:
        if not 500 <= rejected.reply.code < 560:
            raise AssertionError(rejected.reply) from rejected
        return ""
    assert path.isprintable(), repr(path)
    domain = unicodedata.normalize("NFKC", path.rpartition("@")[2]).casefold()
    assert domain == ALLOWED or domain.endswith(f".{ALLOWED}"), repr(path)
    assert domain != f"no.{ALLOWED}", repr(path)
    return path


def named_by_the_api(paths):
    """Who the API sends to, splitting `to` at everything that could be meant as a separator."""
    to = "; ".join(Recipients(paths).assign((), (), Conversion(recipients_per_mail=0))[0].to)
    for separator in find_separators():
        to = to.replace(separator, ";")
    return [word.strip() for word in to.split(";")]


def run(count, seed):
    """So many arguments; how many were accepted."""
    chance = random.Random(seed)
    accepted, batch = 0, []
    for _ in range(count):
        path = check(make(chance))
        if path:
            accepted += 1
            batch.append(path)
        if len(batch) == 50:
            check_batch(batch)
            batch = []
    return accepted


def check_batch(batch):
    named = named_by_the_api(batch)
    assert set(named) <= set(batch), sorted(set(named) - set(batch))
    folded = {(path.rpartition("@")[0], path.rpartition("@")[2].casefold()) for path in batch}
    assert len(named) == len(set(named)) <= len(folded)
    assert all(unicodedata.normalize("NFKC", name).count("@") == 1 for name in named), named


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    accepted = run(options.count, options.seed)
    print(f"{options.count} arguments, {accepted} accepted, 0 bypasses, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
