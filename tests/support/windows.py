"""How many of some moments any window holds, and how many may be sent in a time."""


def most_in(times, window=60.0):
    """The most that any window of so many seconds holds."""
    best = first = 0
    for last, when in enumerate(times):
        while times[first] <= when - window:
            first += 1
        best = max(best, last - first + 1)
    return best


def permitted(minutes, accounts, per_minute, mailbox):
    """How many may be sent in so many minutes, with half the rate after the first thirty."""
    full, half = min(per_minute, accounts * mailbox), min(per_minute // 2, accounts * mailbox)
    return full * min(minutes, 30) + half * max(0.0, minutes - 30)
