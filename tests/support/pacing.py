"""Budgets with a clock that the test moves."""

from types import SimpleNamespace

from relay.works.pace.pacing import Pacing

NO_LIMIT = SimpleNamespace(mails_per_minute=0, recipients_per_day=0)


class Time:
    """A clock by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def limits(mails=60, recipients=20_000):
    return SimpleNamespace(mails_per_minute=mails, recipients_per_day=recipients)


def pacing_of(per_minute=240, **accounts):
    clock = Time()
    return Pacing(per_minute, accounts or {"a": limits()}, clock), clock
