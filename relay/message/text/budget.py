"""How much work one message may cause.

Limits on octets do not bound it: a guess at a charset takes half a millisecond for ten octets, and a message
of 32 KB can ask for a thousand. So what is dear is counted for each message, and done in a cheap way once the
message has had its share; it is never refused for that.

`convert` and the other ways into this room do their work within `budget.bounded()`. Code that is about to do
dear work asks `budget.current()`. The budget is a context variable, as the precision of `decimal` is:
charsets are met ten calls below the conversion, in a dozen places. Each thread and each task has its own.

    budget.current().guess(octets, guess_codec)  # a codec; asks guess_codec at most once for these octets
    if budget.current().take_decoding(): ...     # else leave it as it stands
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from relay.message.text.effort import LITTLE, MOST_OCTETS, estimate

# No honest message has so many texts or names without a charset that are not UTF-8; one has a few.
GUESSES = 20
# Octets that are guessed by, in all: half a microsecond each.
GUESSED_OCTETS = 128 * 1024
SAMPLE = 16 * 1024  # octets of one text that are enough to guess by
# Names and words that are decoded by a charset. 20,000 mailboxes may each have one, and some are read twice.
DECODINGS = 50_000
# References in html that are looked up among the files.
REFERENCES = 20_000
# What may be guessed where nobody is to wait: some two milliseconds.
_FEW, _SHORT = 2, 2000  # guesses, octets
_FEW_LINES = 50
_LAST_RESORT = "cp1252"  # it takes any octets


class TooDearError(Exception):
    """The message takes more than it may where nobody is to wait for it."""


class Budget:
    """What is left for one message.

    Args:
        strict: more than little work is `TooDearError`, not done, or not done in the cheap way.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        # Gives the codecs that the message itself names, the likeliest first.
        self.find_hints: Callable[[], Sequence[str]] = tuple
        self.guesses = 0  # made so far
        self.decodings = 0
        self.references = 0
        self._text = self._work = 0  # octets of texts as they came, microseconds that they take decoded
        self.spent = False  # whether anything was done in the cheap way
        self._guessed: dict[bytes, str] = {}
        self._octets = GUESSED_OCTETS

    def guess(self, octets: bytes, how: Callable[[bytes], str]) -> str:
        """The likeliest codec of octets that are neither ASCII nor UTF-8.

        Args:
            octets: what nobody labelled; of the same ones the answer is remembered.
            how: the dear way to find it. It is asked only while there are guesses left; then the first of
                the message's own charsets that takes all the octets is the answer, at last windows-1252.
        """
        if (known := self._guessed.get(octets)) is not None:
            return known
        if self._strict and (self.guesses >= _FEW or len(octets) > _SHORT):
            raise TooDearError
        if self.guesses >= GUESSES or self._octets <= 0:
            self.spent = True
            return next((codec for codec in self.find_hints() if _takes(octets, codec)), _LAST_RESORT)
        self.guesses += 1
        self._octets -= min(len(octets), SAMPLE)
        codec = self._guessed[octets] = how(octets)
        return codec

    def take_encoded(self, size: int) -> None:
        """A text of so many octets is about to be decoded."""
        self._text += size
        if self._strict and self._text > MOST_OCTETS:
            raise TooDearError

    def take_text(self, octets: bytes) -> None:
        """A text is about to be read: what its transfer encoding held was not seen before."""
        self._work += estimate(octets) if self._strict else 0
        if self._work > LITTLE:
            raise TooDearError

    def take_lines(self, number: int) -> None:
        """Lines are about to be read one by one, as some may be of another charset."""
        if self._strict and number > _FEW_LINES:
            raise TooDearError

    def take_format(self) -> None:
        """What is about to be read is in a format of its own, and nobody knows what that takes."""
        if self._strict:
            raise TooDearError

    def take_decoding(self) -> bool:
        """Whether one more name or word may be decoded by its charset."""
        self.decodings += 1
        self.spent |= self.decodings > DECODINGS
        return self.decodings <= DECODINGS

    def take_reference(self) -> bool:
        """Whether one more reference may be looked up."""
        self.references += 1
        return self.references <= REFERENCES


_current: ContextVar[Budget] = ContextVar("budget")


def current() -> Budget:
    """The budget of the message that is being read; a new one when none is."""
    return _current.get(None) or Budget()


@contextmanager
def bounded(*, strict: bool = False) -> Iterator[Budget]:
    """One budget for all that is done within; that of the context around it, if there is one.

    Raises:
        TooDearError: it is strict, and spent.
    """
    around = _current.get(None)
    if around is not None:
        yield around
        return
    token = _current.set(Budget(strict=strict))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def _takes(octets: bytes, codec: str) -> bool:
    try:
        octets.decode(codec)
    except (UnicodeError, LookupError):
        return False
    return True
