"""What was found damaged or set right, for whoever is to be told of it."""

from collections.abc import Callable

Report = Callable[[str, str], None]


class Findings:
    """Passes on what is found. What the start finds waits until somebody listens."""

    def __init__(self, report: Report | None) -> None:
        """Args:
        report: told a queue id or a file's name, and a sentence.
        """
        self._report = report or (lambda *_: None)
        self._early: list[tuple[str, str]] = []
        self._is_heard = False

    def tell(self, name: str, reason: str) -> None:
        """Something was set aside."""
        self._report(name, reason)

    def tell_when_heard(self, name: str, reason: str) -> None:
        """The same, of what may have been found before somebody listens."""
        self._early.append((name, reason))
        if self._is_heard:
            self.begin()

    def begin(self) -> None:
        """From here on somebody listens."""
        self._is_heard = True
        while self._early:
            self._report(*self._early.pop(0))
