"""How a session ends, other than by itself: raised where it waits, caught where it began."""


class Close(Exception):  # noqa: N818 - a wish, not an error
    """The session ends after what was said."""


class Cut(Close):
    """The session ends by our wish, while the client may still be sending."""


class TimedOut(Exception):  # noqa: N818
    """The client had its time."""


class Stopping(Exception):  # noqa: N818
    """The relay is stopping."""


class Flooded(Exception):  # noqa: N818
    """All sessions together hold more than they may."""
